//! A GitHub App that a trigger asks as: it signs for itself, and is handed a token of one installation for an hour.

use std::path::PathBuf;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::client;
use crate::client::with_causes;
use crate::client::{Request, Response};
use crate::deliver::access::Caller;
use crate::deliver::answer::Answer;
use crate::deliver::credential::Credential;
use crate::deliver::github_app::jwt::SigningKey;
use crate::deliver::plan::Plan;
use crate::deliver::provider::Auth;
use crate::deliver::rules::{Judgement, Overrides, Rules};
use crate::deliver::template;
use crate::deliver::trigger::Fault;
use crate::setting::Secret;

mod jwt;

const ACTIONS: &str = "actions";

/// A clock that is off by less is no reason for a refusal: what we sign was issued a minute ago, and is good
/// for nine more.
const CLOCK_OFF_S: i64 = 30;

/// A GitHub App that asks in place of a token: `app_id`, `installation_id` and one of its private keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GithubApp {
    /// The app's id or client id, from the page of its settings.
    pub app_id: Option<String>,
    /// The installation that has the repository: the number at the end of its page's address.
    pub installation_id: Option<u64>,
    /// A private key of the app in PEM, as GitHub hands it out.
    pub private_key: Option<Secret>,
    /// File with that key, read again whenever a token is fetched.
    pub private_key_file: Option<PathBuf>,
}

/// How GitHub refuses a token.
static RULES: Rules = Rules {
    passing: &[(403, "rate limit"), (403, "abuse")],
    hints: &[
        (
            401..=401,
            "generate a public key",
            "the app has no key yet: generate a private key on the page of its settings",
        ),
        (
            401..=401,
            "",
            "the private key is none of this app's, or this machine's clock is wrong; the key's file is read \
             again at every attempt",
        ),
        (
            403..=403,
            "suspended",
            "the owner of the installation has suspended it, and can end that",
        ),
        (403..=403, "", "the app may not have a token of this installation"),
        (
            404..=404,
            "ntegration not found",
            "GitHub knows no such app: `app_id` is on the page of its settings; on a GitHub Enterprise Server \
             set `webhook` to its API",
        ),
        (
            404..=404,
            "",
            "the app is not installed there: `installation_id` is the number at the end of the address of the \
             installation's page",
        ),
        (
            422..=422,
            "permission",
            "the app lacks this permission (or, with `confirm: true`, Actions: read): set it in the app's settings, and have the owner \
             of the installation accept it",
        ),
        (
            422..=422,
            "repositor",
            "the installation does not have `with.repository`: add it on the installation's page",
        ),
    ],
    ..Rules::PLAIN
};

/// A token of an installation.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) token: Secret,
    /// How long it is good by the giver's clock, seconds; `None` where it does not say.
    pub(crate) lasts_s: Option<i64>,
}

#[derive(Deserialize)]
struct Grant {
    token: String,
    #[serde(default)]
    expires_at: Option<String>,
}

impl GithubApp {
    /// What it lacks, by the key within the trigger.
    pub(crate) fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: &str| {
            faults.push(Fault::new(format!("github_app.{key}"), message));
        };
        match self.app_id.as_deref().map(str::trim) {
            None | Some("") => fault(
                "app_id",
                "`app_id` is missing: the app's id or client id, which the page of its settings shows",
            ),
            Some(id)
                if !id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) =>
            {
                fault(
                    "app_id",
                    "is no app id such as 12345, and no client id such as Iv23liAbCdEf",
                );
            }
            Some(_) => {}
        }
        if self.installation_id.is_none_or(|id| id == 0) {
            let message = "`installation_id` is missing: the number at the end of the address of the installation's page \
                           (Settings, Applications, Configure)";
            fault("installation_id", message);
        }
        match (&self.private_key, &self.private_key_file) {
            (None, None) => {
                let message = "`private_key_file` is missing: the file with a private key of the app, as GitHub hands it out";
                fault("private_key_file", message);
            }
            (Some(_), Some(_)) => {
                fault("private_key_file", "set either `private_key` or `private_key_file`");
            }
            (Some(key), None) => {
                if let Err(why) = SigningKey::parse(key.expose()) {
                    fault("private_key", &with_causes(&why));
                }
            }
            (None, Some(_)) => {}
        }
        faults
    }

    /// What only the key's file can show.
    pub(crate) fn check_file(&self) -> Option<Fault> {
        let path = self.private_key_file.as_ref()?;
        let message = match self.key().read_blocking() {
            Ok(text) => {
                let parsed =
                    SigningKey::parse(text.as_ref().map(Secret::expose).unwrap_or_default());
                format!("{} {}", path.display(), parsed.err()?)
            }
            Err(why) => with_causes(&why),
        };
        Some(Fault::new("github_app.private_key_file", message))
    }

    fn key(&self) -> Credential {
        Credential::of(self.private_key.as_ref(), self.private_key_file.as_ref())
    }

    fn id(&self) -> &str {
        self.app_id.as_deref().unwrap_or_default().trim()
    }

    /// As errors name it.
    pub(crate) fn name(&self) -> String {
        format!(
            "GitHub App {}, installation {}",
            self.id(),
            self.installation_id.unwrap_or_default()
        )
    }

    /// Asks for a token that may do no more than this trigger has to.
    ///
    /// # Errors
    /// The key cannot be used, or there is no token: what was told, and what to do.
    pub(crate) async fn grant(&self, caller: Caller<'_>) -> Result<Granted, Answer> {
        let key = self.signing_key(caller).await?;
        let ours_s = caller.now_ms.div_euclid(1000);
        let (mut result, mut jwt) = self.ask(caller, &key, ours_s).await?;
        let off_s = clock_off_s(&result, ours_s);
        if off_s != 0 && result.as_ref().is_ok_and(|response| response.status == 401) {
            tracing::warn!(
                app = self.id(),
                ahead_s = -off_s,
                "this machine's clock is not GitHub's, which the log-in now goes by; set it right"
            );
            (result, jwt) = self.ask(caller, &key, ours_s.saturating_add(off_s)).await?;
        }
        if let Ok(response) = &result
            && (200..300).contains(&response.status)
        {
            return self.granted(caller, response, ours_s);
        }
        let answer = Answer::of(result, &RULES, &Overrides::default(), &[jwt.expose()]);
        let judgement = match answer.judgement {
            Judgement::Retry => Judgement::Retry,
            _ => Judgement::Slow,
        };
        let clock = match off_s {
            0 => String::new(),
            off_s if off_s > 0 => format!("; this machine's clock is {off_s} s behind GitHub's"),
            off_s => format!("; this machine's clock is {} s ahead of GitHub's", -off_s),
        };
        Err(Answer {
            judgement,
            ..self.failed(caller.plan, Answer { detail: answer.detail + &clock, ..answer })
        })
    }

    /// The answer to what we sign at a time, and that.
    async fn ask(
        &self,
        caller: Caller<'_>,
        key: &SigningKey,
        at_s: i64,
    ) -> Result<(Result<Response, client::Error>, Secret), Answer> {
        let jwt = key.jwt(self.id(), at_s);
        let jwt =
            jwt.map_err(|why| self.failed(caller.plan, Answer::misconfigured(with_causes(&why))))?;
        let mut request = self.request(caller)?;
        request.headers.push(("authorization".to_owned(), format!("Bearer {}", jwt.expose())));
        Ok((caller.client.request(request).await, jwt))
    }

    fn granted(
        &self,
        caller: Caller<'_>,
        response: &Response,
        ours_s: i64,
    ) -> Result<Granted, Answer> {
        let grant: Grant = serde_json::from_slice(&response.body).map_err(|_| {
            let status = response.status;
            let detail = format!("{status} without a token; is `webhook` the API of GitHub?");
            self.failed(
                caller.plan,
                Answer { status: Some(status), ..Answer::misconfigured(detail) },
            )
        })?;
        // By the clock that set the end.
        let now_s = date_s(response).unwrap_or(ours_s);
        let ends: Option<Timestamp> = grant.expires_at.and_then(|text| text.parse().ok());
        let lasts_s = ends.map(|ends| ends.as_second().saturating_sub(now_s));
        Ok(Granted { token: Secret::new(grant.token.trim()), lasts_s })
    }

    async fn signing_key(&self, caller: Caller<'_>) -> Result<SigningKey, Answer> {
        let parsed = match (self.key().read().await, &self.private_key_file) {
            (Err(why), _) => Err(with_causes(&why)),
            (Ok(text), path) => {
                let text = text.as_ref().map(Secret::expose).unwrap_or_default();
                let place = path.as_ref().map(|path| format!("{} ", path.display()));
                SigningKey::parse(text).map_err(|why| place.unwrap_or_default() + &why.to_string())
            }
        };
        parsed.map_err(|why| {
            let key =
                if self.private_key_file.is_some() { "private_key_file" } else { "private_key" };
            self.failed(caller.plan, Answer::misconfigured(format!("github_app.{key}: {why}")))
        })
    }

    fn failed(&self, plan: &Plan, answer: Answer) -> Answer {
        let needed = needed(plan)
            .map(|(permission, repository)| format!(" ({permission}: write in {repository})"));
        let needed = needed.unwrap_or_default();
        let detail = format!("logging in as {}{needed}: {}", self.name(), answer.detail);
        Answer { detail, ..answer }
    }

    /// All but what says who asks.
    fn request(&self, caller: Caller<'_>) -> Result<Request, Answer> {
        let headers = caller.plan.provider.headers.iter();
        Ok(Request {
            method: "POST".to_owned(),
            url: self.url(caller.plan).map_err(Answer::misconfigured)?,
            headers: headers.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            body: Bytes::from(wanted(caller.plan).to_string()),
            timeout: caller.timeout,
            most: client::MAX_BODY,
        })
    }

    fn url(&self, plan: &Plan) -> Result<Url, String> {
        let id = self.installation_id.unwrap_or_default();
        let path = format!("{{{{webhook}}}}/app/installations/{id}/access_tokens");
        plan.url(&path, &template::sample(), None)
    }

    /// The request without what says who asks, for `--dry-run`.
    pub(crate) fn show(&self, plan: &Plan) -> String {
        let url = self.url(plan).map(String::from).unwrap_or_default();
        let headers = plan.provider.headers.iter();
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\n")).collect();
        let by = match &self.private_key_file {
            Some(path) => path.display().to_string(),
            None => "github_app.private_key".to_owned(),
        };
        let id = self.id();
        let wanted = wanted(plan);
        format!(
            "POST {url}\n{headers}authorization: Bearer (JWT of app {id}, signed with {by})\n\n{wanted}\n\n"
        )
    }
}

/// What a token has to allow: to write one thing in one repository.
fn needed(plan: &Plan) -> Option<(&'static str, &str)> {
    match plan.provider.auth {
        Auth::Installation(permission) => Some((permission, plan.setting("repository")?)),
        Auth::Optional | Auth::Token | Auth::Basic | Auth::Field(_) | Auth::Login(_) => None,
    }
}

/// The same as a request says it: the repository without its owner, who is the installation's. Runs are
/// Actions, whatever has started them.
fn wanted(plan: &Plan) -> Value {
    let Some((permission, repository)) = needed(plan) else { return json!({}) };
    let name = repository.rsplit('/').next().unwrap_or_default();
    let mut wanted = json!({"repositories": [name], "permissions": {permission: "write"}});
    if plan.asks && permission != ACTIONS {
        wanted["permissions"][ACTIONS] = "read".into();
    }
    wanted
}

/// How far the receiver's clock is ahead of ours, where that is enough to be refused.
fn clock_off_s(result: &Result<Response, client::Error>, ours_s: i64) -> i64 {
    let theirs_s = result.as_ref().ok().and_then(date_s);
    let off_s = theirs_s.map_or(0, |theirs_s| theirs_s.saturating_sub(ours_s));
    if off_s.abs() < CLOCK_OFF_S { 0 } else { off_s }
}

fn date_s(response: &Response) -> Option<i64> {
    let date = rfc2822::DateTimeParser::new().parse_timestamp(response.date.as_deref()?).ok()?;
    Some(date.as_second())
}
