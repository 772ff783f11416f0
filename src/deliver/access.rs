//! What says who asks: a token, a name with its password, or a token that a log-in has given.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::form_urlencoded;

use crate::client;
use crate::client::with_causes;
use crate::client::{Client, Request, Response};
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::github_app::GithubApp;
use crate::deliver::github_app::Granted;
use crate::deliver::plan::Plan;
use crate::deliver::provider::Auth;
use crate::deliver::rules::{Judgement, Overrides};
use crate::deliver::template;
use crate::deliver::trigger::Trigger;
use crate::setting::Secret;

/// So long before its end a token is no longer used: a request takes its time.
const BEFORE_ITS_END: Duration = Duration::from_secs(60);

/// Who asks, as it is configured, and the token that is good at present.
#[derive(Debug)]
pub(crate) struct Access {
    user: Option<String>,
    token: Credential,
    app: Option<GithubApp>,
    /// What the last log-in has given, until it ends or is refused.
    session: Mutex<Option<Session>>,
}

#[derive(Clone, Debug)]
struct Session {
    token: Secret,
    /// `None` where only a refusal tells.
    ends: Option<Instant>,
}

/// How one receiver is reached just now.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) client: &'a Client,
    pub(crate) plan: &'a Plan,
    /// Longest wait for an answer.
    pub(crate) timeout: Duration,
    /// By the machine's clock.
    pub(crate) now_ms: i64,
}

/// An answer, and what must not be repeated of it.
pub(crate) type Answered = (Result<Response, client::Error>, Vec<Secret>);

/// How a token is had that lasts a while.
enum LogIn<'a> {
    Password { path: &'static str, user: &'a str, password: &'a Secret },
    App(&'a GithubApp),
}

impl Access {
    pub(crate) fn of(trigger: &Trigger) -> Self {
        Self {
            user: trigger.user.clone(),
            token: trigger.token(),
            app: trigger.github_app.clone(),
            session: Mutex::default(),
        }
    }

    /// How many requests it may take to send one: a token that was given before may be refused, and is asked
    /// for again; GitHub is asked a second time by its own clock.
    pub(crate) fn requests_at_most(&self, auth: Auth) -> u32 {
        match auth {
            _ if self.app.is_some() => 4,
            Auth::Login(_) if self.user.is_some() => 3,
            _ => 1,
        }
    }

    /// As errors name it, where it takes more than a token to tell.
    pub(crate) fn name(&self) -> Option<String> {
        self.app.as_ref().map(GithubApp::name)
    }

    /// Sends with what says who asks; a token that a log-in has given is fetched anew once it is refused.
    ///
    /// # Errors
    /// A file can't be used, or there is no logging in.
    pub(crate) async fn send(
        &self,
        caller: Caller<'_>,
        request: Request,
    ) -> Result<Answered, Answer> {
        if let Some(app) = &self.app {
            return self.within_session(caller, request, LogIn::App(app)).await;
        }
        let unreadable = |why| Answer::misconfigured(format!("token_file: {}", with_causes(&why)));
        let client = caller.client;
        let Some(token) = self.token.read().await.map_err(unreadable)? else {
            return Ok((client.request(request).await, Vec::new()));
        };
        let auth = caller.plan.provider.auth;
        if let (Auth::Login(path), Some(user)) = (auth, &self.user) {
            let login = LogIn::Password { path, user, password: &token };
            return self.within_session(caller, request, login).await;
        }
        let mut secrets = vec![token.clone()];
        let result = match (auth, &self.user) {
            (Auth::Field(field), _) if request.method == "POST" => {
                let pair = form_urlencoded::Serializer::new(String::new())
                    .append_pair(field, token.expose())
                    .finish();
                let rest = String::from_utf8_lossy(&request.body);
                let body = Bytes::from(format!("{pair}&{rest}"));
                client.request(Request { body, ..request }).await
            }
            (Auth::Field(_), _) => client.request(request).await,
            (_, Some(user)) => {
                let pair = STANDARD.encode(format!("{user}:{}", token.expose()));
                secrets.push(Secret::new(pair.clone()));
                client.request(authorized(request, format!("Basic {pair}"))).await
            }
            (_, None) => {
                client.request(authorized(request, format!("Bearer {}", token.expose()))).await
            }
        };
        Ok((result, secrets))
    }

    async fn within_session(
        &self,
        caller: Caller<'_>,
        request: Request,
        login: LogIn<'_>,
    ) -> Result<Answered, Answer> {
        let mut session = self.session.lock().await;
        loop {
            let kept = session.take().filter(Session::lasts);
            let is_fresh = kept.is_none();
            let held = match kept {
                Some(held) => held,
                None => login.session(caller).await?,
            };
            let bearer = format!("Bearer {}", held.token.expose());
            let result = caller.client.request(authorized(request.clone(), bearer)).await;
            let is_refused =
                result.as_ref().is_ok_and(|response| login.is_refusal(response.status));
            if is_refused && !is_fresh {
                continue;
            }
            let secrets = login.secrets(&held);
            *session = Some(held).filter(|_| !is_refused);
            return Ok((result, secrets));
        }
    }

    /// The request's body with what says who asks in it, and the header of that, both without the secret; before
    /// them the request that a log-in makes. For `--dry-run`.
    pub(crate) fn show(&self, plan: &Plan, body: String) -> (String, Option<&'static str>, String) {
        let bearer = Some("Bearer ***");
        if let Some(app) = &self.app {
            return (app.show(plan), bearer, body);
        }
        let (header, body) = match (self.token.is_set(), plan.provider.auth, &self.user) {
            (true, Auth::Field(field), _) => (None, format!("{field}=***&{body}")),
            (true, Auth::Login(_), _) | (true, _, None) => (bearer, body),
            (true, _, Some(_)) => (Some("Basic ***"), body),
            (false, _, _) => (None, body),
        };
        (String::new(), header, body)
    }
}

impl Session {
    fn lasts(&self) -> bool {
        self.ends.is_none_or(|ends| Instant::now() < ends)
    }
}

impl LogIn<'_> {
    /// Whether an answer says that the token is no longer good.
    fn is_refusal(&self, status: u16) -> bool {
        match self {
            // Airflow says 403 of a token that has expired.
            LogIn::Password { .. } => matches!(status, 401 | 403),
            // GitHub says that of a lacking permission.
            LogIn::App(_) => status == 401,
        }
    }

    fn secrets(&self, held: &Session) -> Vec<Secret> {
        match self {
            LogIn::Password { password, .. } => vec![(*password).clone(), held.token.clone()],
            LogIn::App(_) => vec![held.token.clone()],
        }
    }

    async fn session(&self, caller: Caller<'_>) -> Result<Session, Answer> {
        match self {
            LogIn::Password { path, user, password } => {
                let token = by_password(caller, path, (user, password)).await?;
                Ok(Session { token, ends: None })
            }
            LogIn::App(app) => {
                let Granted { token, lasts_s } = app.grant(caller).await?;
                let lasts_s = lasts_s.map(|lasts_s| u64::try_from(lasts_s).unwrap_or_default());
                let ends = lasts_s.map(|lasts_s| {
                    let lasts = Duration::from_secs(lasts_s).saturating_sub(BEFORE_ITS_END);
                    Instant::now().checked_add(lasts)
                });
                Ok(Session { token, ends: ends.flatten() })
            }
        }
    }
}

async fn by_password(
    caller: Caller<'_>,
    path: &str,
    (user, password): (&str, &Secret),
) -> Result<Secret, Answer> {
    let Caller { client, plan, timeout, .. } = caller;
    let announcement = template::sample();
    let url = plan.url(&format!("{{{{webhook}}}}{path}"), &announcement, None);
    let body = json!({ "username": user, "password": password.expose() });
    let request = Request {
        method: "POST".to_owned(),
        url: url.map_err(Answer::misconfigured)?,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into(),
        timeout,
        most: client::MAX_BODY,
    };
    let result = client.request(request).await;
    let token = result.as_ref().ok().filter(|response| response.status < 300);
    let token = token.and_then(|response| {
        let answer: Value = serde_json::from_slice(&response.body).ok()?;
        let known = ["access_token", "jwt_token"].into_iter();
        let found = known.filter_map(|key| answer.get(key)?.as_str()).next();
        found.map(Secret::new)
    });
    token.ok_or_else(|| {
        let own = Overrides::default();
        let answer = Answer::of(result, plan.provider.rules, &own, &[password.expose()]);
        let judgement = match answer.judgement {
            Judgement::Retry => Judgement::Retry,
            _ => Judgement::Slow,
        };
        Answer { judgement, detail: format!("logging in: {}", answer.detail), ..answer }
    })
}

fn authorized(mut request: Request, value: String) -> Request {
    request.headers.push(("authorization".to_owned(), value));
    request
}
