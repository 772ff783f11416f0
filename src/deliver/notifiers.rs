//! `notifiers:` as it is written: the destinations that people read, and what each is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::client::Client;
use crate::decide::Audience;
use crate::decide::Delivery;
use crate::decide::Kind;
use crate::deliver::trigger::Fault;

mod channels;
mod receiver;

pub use channels::{Slack, SlackChannel};
use receiver::Needs;
pub use receiver::{Alertmanager, Receiver};

/// The verdict of the first message of progress: a pager takes it for an acknowledgement.
pub const ACCEPTED: &str = "accepted";

/// Where people are told. Slack reaches the channel that a model's `notification_channel` names, the others
/// are told of every model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Notifiers {
    /// Slack, or anything that takes the same messages.
    pub slack: Option<Slack>,
    /// PagerDuty, Events API v2.
    pub pagerduty: Option<Receiver>,
    /// Opsgenie.
    pub opsgenie: Option<Receiver>,
    /// A workflow's webhook of Microsoft Teams.
    pub teams: Option<Receiver>,
    /// Alertmanager.
    pub alertmanager: Option<Alertmanager>,
    /// Any URL that takes the event as JSON.
    pub webhook: Option<Receiver>,
}

/// How much of a retraining's progress a destination is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    None,
    /// That it was accepted: an alert is acknowledged by that.
    Accepted,
    All,
}

/// One destination of a model's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The kind of receiver: `slack`, `pagerduty`, ...
    pub target: &'static str,
    /// Which one of that kind.
    pub channel: String,
    audience: Option<Audience>,
    progress: Progress,
}

impl Reader {
    /// Only a Slack channel, by name.
    pub fn of_slack(channel: &str) -> Self {
        Self {
            target: "slack",
            channel: channel.to_owned(),
            audience: None,
            progress: Progress::None,
        }
    }

    /// Whether this message is for it.
    pub fn wants(&self, delivery: &Delivery) -> bool {
        let progress = match (delivery.kind, self.progress) {
            (Kind::Progress, Progress::None) => false,
            (Kind::Progress, Progress::Accepted) => delivery.announcement.data.verdict == ACCEPTED,
            (_, _) => true,
        };
        progress && self.hears(delivery.audience)
    }

    /// Whether anything for these people is for it.
    pub fn hears(&self, audience: Audience) -> bool {
        self.audience.is_none_or(|own| own == audience)
    }

    /// The name of its target.
    pub fn name(&self) -> String {
        format!("{}/{}", self.target, self.channel)
    }
}

impl Notifiers {
    /// Everything that can be said without reading a file or reaching anything.
    pub fn check(&self) -> Vec<Fault> {
        let slack = self.slack.iter().flat_map(Slack::check);
        let alertmanager = self.alertmanager.iter().flat_map(Alertmanager::check);
        let others = self.others().into_iter();
        let others = others.filter_map(|(needs, receiver)| Some(receiver?.check(needs)));
        slack.chain(alertmanager).chain(others.flatten()).collect()
    }

    /// What only the files themselves can show.
    pub fn check_files(&self, client: &Client) -> Vec<Fault> {
        let slack = self.slack.iter().flat_map(|slack| slack.check_files(client));
        let alertmanager = self.alertmanager.iter().flat_map(|am| am.check_files(client));
        let others = self.others().into_iter();
        let others =
            others.filter_map(|(needs, receiver)| Some(receiver?.check_files(needs.name, client)));
        slack.chain(alertmanager).chain(others.flatten()).collect()
    }

    fn others(&self) -> [(Needs, Option<&Receiver>); 4] {
        let needs = |name, url, key| Needs { name, url, key };
        [
            (needs("pagerduty", false, true), self.pagerduty.as_ref()),
            (needs("opsgenie", false, true), self.opsgenie.as_ref()),
            (needs("teams", true, false), self.teams.as_ref()),
            (needs("webhook", true, false), self.webhook.as_ref()),
        ]
    }

    /// Whether something is configured that posts to this Slack channel.
    pub fn reaches(&self, channel: &str) -> bool {
        self.slack
            .as_ref()
            .is_some_and(|slack| slack.token().is_set() || slack.webhook(channel).is_some())
    }

    /// Who is told of a model whose `notification_channel` is this Slack channel.
    pub fn readers(&self, channel: Option<&str>) -> Vec<Reader> {
        let mut readers = Vec::new();
        if let (Some(slack), Some(channel)) = (&self.slack, channel)
            && self.reaches(channel)
        {
            // Only a token can keep what follows in one thread.
            let progress = if slack.token().is_set() { Progress::All } else { Progress::None };
            let of_slack = Reader::of_slack(channel);
            readers.push(Reader { audience: slack.audience, progress, ..of_slack });
        }
        for (needs, receiver) in self.others() {
            let Some(receiver) = receiver else { continue };
            let progress = match needs.name {
                "pagerduty" | "opsgenie" => Progress::Accepted,
                "webhook" => Progress::All,
                _ => Progress::None,
            };
            let audience = receiver.audience;
            let channel = audience.map_or("all", Audience::as_str).to_owned();
            readers.push(Reader { target: needs.name, channel, audience, progress });
        }
        if let Some(alertmanager) = &self.alertmanager {
            readers.extend(alertmanager.urls.iter().map(|url| Reader {
                target: "alertmanager",
                channel: instance(url),
                audience: alertmanager.audience,
                progress: Progress::None,
            }));
        }
        readers
    }
}

/// `host:port` of an address.
pub(crate) fn instance(url: &str) -> String {
    let host = |url: Url| {
        let port = url.port_or_known_default()?;
        Some(format!("{}:{port}", url.host_str()?))
    };
    Url::parse(url).ok().and_then(host).unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifiers(value: serde_json::Value) -> Notifiers {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_channel_has_its_own_webhook_or_the_default_one() {
        let own =
            serde_json::json!({"slack": {"channels": {"ml": {"webhook_url": "https://a/x"}}}});
        let own = notifiers(own);
        assert_eq!(own.check(), []);
        assert!(own.reaches("ml") && !own.reaches("ops"));
        let all = notifiers(serde_json::json!({"slack": {"webhook_url_file": "/run/slack"}}));
        assert!(all.reaches("ml") && all.reaches("ops"));
        assert!(!Notifiers::default().reaches("ml"));
    }

    #[test]
    fn faults_name_the_channel_and_never_the_url() {
        let bad = notifiers(serde_json::json!({"slack": {
            "webhook_url": "http://hooks/T0/SECRET",
            "channels": {"ml": {}},
        }}));
        let faults = bad.check();
        assert_eq!(faults.len(), 2, "{faults:?}");
        let told: String = faults.iter().map(ToString::to_string).collect();
        assert!(told.contains("`ml`") && told.contains("allow_http"), "{told}");
        assert!(!format!("{told}{bad:?}").contains("SECRET"));
        assert_eq!(notifiers(serde_json::json!({"slack": {}})).check().len(), 1);
    }
}
