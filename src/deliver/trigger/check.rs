//! Everything that can be wrong with a `retraining_trigger:`.

use url::Url;

use crate::client;
use crate::client::Client;
use crate::client::with_causes;
use crate::deliver::github_app::GithubApp;
use crate::deliver::plan::Plan;
use crate::deliver::preset::Preset;
use crate::deliver::preset::argo;
use crate::deliver::provider::{Auth, Provider};
use crate::deliver::sign::Keys;
use crate::deliver::slack;
use crate::deliver::template::Template;
use crate::deliver::trigger::{Fault, Trigger};
use crate::setting::Secret;

impl Trigger {
    /// Everything that can be said without reading a file or reaching anything.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        match self.address() {
            Ok(url) => {
                if self.preset_of(&url) == Preset::ArgoWorkflows {
                    faults.extend(check_argo_path(&url));
                }
                faults.extend(self.check_preset(&url));
            }
            Err(why) => faults.push(Fault::new("webhook", why)),
        }
        faults.extend(self.check_secrets());
        if self.cert_file.is_some() != self.key_file.is_some() {
            let message = "`cert_file` and `key_file` belong together: set both or neither";
            faults.push(Fault::new("cert_file", message));
        }
        if let Some(channel) = &self.notification_channel
            && let Err(message) = slack::parse_channel(channel)
        {
            faults.push(Fault::new("notification_channel", message));
        }
        if self.timeout.0.is_zero() {
            faults.push(Fault::new("timeout", "must be longer than 0s"));
        }
        if let Some(Err(messages)) = self.body.as_deref().map(Template::parse) {
            faults.extend(messages.into_iter().map(|message| Fault::new("body", message)));
        }
        let already = self.already_there.iter().map(|known| known.status).collect();
        for (key, statuses) in [
            ("success_statuses", &self.success_statuses),
            ("permanent_statuses", &self.permanent_statuses),
            ("already_there", &already),
        ] {
            for status in statuses.iter().filter(|status| !(200..600).contains(*status)) {
                let message =
                    format!("{status} is not the status of an answer; they are 200 to 599");
                faults.push(Fault::new(key, message));
            }
        }
        faults
    }

    /// What works, and probably not as meant.
    pub fn advice(&self) -> Option<Fault> {
        let url = self.address().ok()?;
        if self.preset_of(&url) != Preset::ArgoWorkflows || self.token().is_set() {
            return None;
        }
        let message = "Argo answers 403 to whoever brings no bearer token; set `token_file`, or \
                       DRIFTD_WEBHOOK_TOKEN_FILE, to a service account's token";
        Some(Fault::new("token_file", message))
    }

    /// Where the receiver's API is.
    pub(crate) fn address(&self) -> Result<Url, String> {
        let given = self.webhook.expose().trim();
        let home = self.preset.and_then(|preset| preset.provider(&self.with).home);
        match (given, home) {
            ("", Some(home)) => client::parse_url(home, false).map_err(|why| why.to_string()),
            ("", None) => Err("`webhook` is missing: where is the receiver?".to_owned()),
            (given, _) => client::parse_url(given, self.allow_http).map_err(|why| why.to_string()),
        }
    }

    /// What this preset lacks, and what it does not know.
    fn check_preset(&self, url: &Url) -> Vec<Fault> {
        let preset = self.preset_of(url);
        let provider = preset.provider(&self.with);
        let name = preset.name();
        let mut faults = Vec::new();
        for setting in provider.settings.iter().filter(|setting| !setting.optional) {
            if self.with.get(setting.name).is_none_or(|value| value.trim().is_empty()) {
                let message = format!(
                    "`preset: {name}` needs `with.{}`: {}, such as `{}: {}`",
                    setting.name, setting.help, setting.name, setting.example
                );
                faults.push(Fault::new(format!("with.{}", setting.name), message));
            }
        }
        for key in self.with.keys().filter(|key| provider.setting(key).is_none()) {
            let known: Vec<_> = provider.settings.iter().map(|setting| setting.name).collect();
            let message = match known.is_empty() {
                true => format!("`preset: {name}` has no settings"),
                false => {
                    format!("`preset: {name}` has no such setting; it has: {}", known.join(", "))
                }
            };
            faults.push(Fault::new(format!("with.{key}"), message));
        }
        faults.extend(self.check_access(name, provider));
        let of_custom = preset == Preset::Custom;
        if let Some(method) = &self.method {
            if !of_custom {
                faults.push(Fault::new("method", format!("is fixed for `preset: {name}`")));
            } else if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
                faults.push(Fault::new("method", "write a method such as POST, PUT or PATCH"));
            }
        }
        if self.parameters.is_some() && provider.parameters.is_empty() {
            let message = format!("`preset: {name}` sends the event itself; use `body`");
            faults.push(Fault::new("parameters", message));
        }
        if let (Some(given), Some(most)) = (&self.parameters, provider.most_parameters)
            && given.len() > most
        {
            let message =
                format!("`preset: {name}` takes at most {most}, and these are {}", given.len());
            faults.push(Fault::new("parameters", message));
        }
        if faults.is_empty()
            && let Err(found) = Plan::new(self, url)
        {
            faults.extend(found);
        }
        faults
    }

    fn check_access(&self, name: &str, provider: &Provider) -> Vec<Fault> {
        let mut faults = Vec::new();
        let needs_token = match provider.auth {
            Auth::Optional => self.user.is_some(),
            Auth::Token | Auth::Basic | Auth::Field(_) | Auth::Login(_) => true,
            Auth::Installation(_) => self.github_app.is_none(),
        };
        if needs_token && !self.token().is_set() {
            let or = match provider.auth {
                Auth::Installation(_) => "`token`, or `github_app`",
                _ => "`token`",
            };
            let message = format!("`preset: {name}` needs `token_file` (or {or})");
            faults.push(Fault::new("token_file", message));
        }
        faults.extend(self.check_app(name, provider));
        match (provider.auth, &self.user) {
            (Auth::Basic, None) => {
                let message = format!("`preset: {name}` needs `user`: whose API token is it?");
                faults.push(Fault::new("user", message));
            }
            (Auth::Field(_), Some(_)) => {
                faults.push(Fault::new("user", format!("`preset: {name}` takes no user")));
            }
            (_, Some(user)) if user.is_empty() || user.contains(':') => {
                faults.push(Fault::new("user", "must be a name without `:`"));
            }
            (_, _) => {}
        }
        let asks = provider.confirm.as_ref();
        if self.confirm == Some(true) && asks.is_none() {
            let message = format!("`preset: {name}` cannot be asked how a run went; leave it out");
            faults.push(Fault::new("confirm", message));
        }
        let own = asks.is_some_and(|asks| asks.own_token.is_some());
        if self.confirm_token().is_set() && !own {
            let message = format!("`preset: {name}` is asked with the trigger's own token");
            faults.push(Fault::new("confirm_token_file", message));
        } else if self.confirm == Some(true) && own && !self.confirm_token().is_set() {
            let message = "the trigger's token may not read: give one with the scope `read_api`";
            faults.push(Fault::new("confirm_token_file", message));
        }
        if self.confirm_token.is_some() && self.confirm_token_file.is_some() {
            let message = "set either `confirm_token` or `confirm_token_file`";
            faults.push(Fault::new("confirm_token_file", message));
        }
        faults
    }

    fn check_app(&self, name: &str, provider: &Provider) -> Vec<Fault> {
        let Some(app) = &self.github_app else { return Vec::new() };
        let mut faults = app.check();
        if !matches!(provider.auth, Auth::Installation(_)) {
            let message = format!(
                "`preset: {name}` knows no GitHub App; `github-workflow-dispatch` and \
                 `github-repository-dispatch` do"
            );
            faults.push(Fault::new("github_app", message));
        }
        for (key, is_set) in [
            ("token", self.token.is_some()),
            ("token_file", self.token_file.is_some()),
            ("user", self.user.is_some()),
        ] {
            if is_set {
                let message = format!("a GitHub App is handed its token: set it or `{key}`");
                faults.push(Fault::new(key, message));
            }
        }
        faults
    }

    fn check_secrets(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.token.is_some() && self.token_file.is_some() {
            faults.push(Fault::new("token_file", "set either `token` or `token_file`"));
        }
        if self.secret.is_some() && self.secret_file.is_some() {
            faults.push(Fault::new("secret_file", "set either `secret` or `secret_file`"));
        }
        if let Some(token) = &self.token {
            faults.extend(check_token("token", token));
        }
        if let Some(secret) = self.signing_text()
            && let Err(why) = Keys::parse(secret.expose())
        {
            faults.push(Fault::new("secret", why.to_string()));
        }
        faults
    }

    /// What only the files themselves can show: whether they are there and hold what they should.
    pub fn check_files(&self, client: &Client) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.token_file.is_some() {
            match self.token().read_blocking() {
                Ok(Some(token)) => faults.extend(check_token("token_file", &token)),
                Ok(None) => {}
                Err(why) => faults.push(Fault::new("token_file", with_causes(&why))),
            }
        }
        if self.confirm_token_file.is_some()
            && let Err(why) = self.confirm_token().read_blocking()
        {
            faults.push(Fault::new("confirm_token_file", with_causes(&why)));
        }
        faults.extend(self.github_app.as_ref().and_then(GithubApp::check_file));
        if self.secret_file.is_some() {
            match self.signing().read_blocking() {
                Ok(Some(text)) => {
                    if let Err(why) = Keys::parse(text.expose()) {
                        faults.push(Fault::new("secret_file", why.to_string()));
                    }
                }
                Ok(None) => {}
                Err(why) => faults.push(Fault::new("secret_file", with_causes(&why))),
            }
        }
        if let Some(path) = &self.ca_file
            && let Err(why) = client.with_ca_file(path)
        {
            faults.push(Fault::new("ca_file", with_causes(&why)));
        }
        if let (Some(cert), Some(key)) = (&self.cert_file, &self.key_file)
            && let Err(why) = client.with_certificate(cert, key)
        {
            faults.push(Fault::new("cert_file", with_causes(&why)));
        }
        faults
    }
}

fn check_argo_path(url: &Url) -> Option<Fault> {
    let wanted = "Argo's event endpoint is /api/v1/events/{namespace}/{discriminator}";
    let message = match argo::tail(url)?.split('/').collect::<Vec<_>>()[..] {
        ["", ..] => format!("{wanted}: the namespace is missing"),
        [_] => format!("{wanted}: without a discriminator the path still ends in `/`"),
        [_, _] => return None,
        _ => format!("{wanted}, and nothing behind it"),
    };
    let escape = "if this is not Argo, set `preset: standard-webhook`";
    Some(Fault::new("webhook", format!("{message}; {escape}")))
}

fn check_token(key: &'static str, token: &Secret) -> Option<Fault> {
    let text = token.expose().trim();
    if text.is_empty() {
        return Some(Fault::new(key, "is empty"));
    }
    let sendable = text.bytes().all(|byte| byte.is_ascii_graphic());
    (!sendable).then(|| Fault::new(key, "must be one word of printable ASCII"))
}
