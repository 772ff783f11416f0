//! Which receiver a trigger talks to; what that means is the table of its file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deliver::provider::Provider;

mod airflow;
pub(crate) mod argo;
mod cloudevents;
mod github;
mod gitlab;
mod jenkins;
mod kubeflow;

/// Which receiver a trigger talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Any URL that takes JSON and follows the Standard Webhooks conventions.
    StandardWebhook,
    /// Any URL that takes CloudEvents 1.0.
    #[serde(rename = "cloudevents")]
    CloudEvents,
    /// The event endpoint of Argo Workflows.
    ArgoWorkflows,
    /// A webhook event source of Argo Events.
    ArgoEvents,
    /// Kubeflow Pipelines v2: a run of a pipeline.
    Kubeflow,
    /// Airflow 3: a run of a DAG.
    Airflow3,
    /// Airflow 2: a run of a DAG.
    Airflow2,
    /// GitHub Actions: `workflow_dispatch` of one workflow.
    GithubWorkflowDispatch,
    /// GitHub Actions: `repository_dispatch`, for whichever workflow listens.
    GithubRepositoryDispatch,
    /// GitLab CI: a pipeline by its trigger token.
    Gitlab,
    /// Jenkins: a build with parameters.
    Jenkins,
    /// Any request: method, headers, body and the meaning of answers are configured.
    Custom,
}

impl Preset {
    pub const ALL: [Preset; 12] = [
        Preset::StandardWebhook,
        Preset::CloudEvents,
        Preset::ArgoWorkflows,
        Preset::ArgoEvents,
        Preset::Kubeflow,
        Preset::Airflow3,
        Preset::Airflow2,
        Preset::GithubWorkflowDispatch,
        Preset::GithubRepositoryDispatch,
        Preset::Gitlab,
        Preset::Jenkins,
        Preset::Custom,
    ];

    /// The table of this preset; some settings choose between two.
    pub(crate) fn provider(self, with: &BTreeMap<String, String>) -> &'static Provider {
        match self {
            Preset::StandardWebhook | Preset::Custom => &Provider::PLAIN,
            Preset::CloudEvents if with.get("mode").is_some_and(|mode| mode == "binary") => {
                &cloudevents::BINARY
            }
            Preset::CloudEvents => &cloudevents::STRUCTURED,
            Preset::ArgoWorkflows => &argo::WORKFLOWS,
            Preset::ArgoEvents => &argo::EVENTS,
            Preset::Kubeflow => &kubeflow::PIPELINES,
            Preset::Airflow3 => &airflow::AIRFLOW_3,
            Preset::Airflow2 => &airflow::AIRFLOW_2,
            Preset::GithubWorkflowDispatch => &github::WORKFLOW,
            Preset::GithubRepositoryDispatch => &github::REPOSITORY,
            Preset::Gitlab => &gitlab::TRIGGER,
            Preset::Jenkins => &jenkins::BUILD,
        }
    }

    /// As it is written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Preset::StandardWebhook => "standard-webhook",
            Preset::CloudEvents => "cloudevents",
            Preset::ArgoWorkflows => "argo-workflows",
            Preset::ArgoEvents => "argo-events",
            Preset::Kubeflow => "kubeflow",
            Preset::Airflow3 => "airflow3",
            Preset::Airflow2 => "airflow2",
            Preset::GithubWorkflowDispatch => "github-workflow-dispatch",
            Preset::GithubRepositoryDispatch => "github-repository-dispatch",
            Preset::Gitlab => "gitlab",
            Preset::Jenkins => "jenkins",
            Preset::Custom => "custom",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::deliver::rules::{Judgement, Overrides};

    use super::*;

    #[test]
    fn names_are_those_that_the_configuration_takes() {
        for preset in Preset::ALL {
            assert_eq!(serde_json::to_value(preset).unwrap(), preset.name());
        }
    }

    #[test]
    fn answers_are_judged_as_the_receivers_mean_them() {
        use Judgement::{Accepted, AlreadyThere, Retry, Slow, Stop};
        let exists = r#"{"message":"failed to dispatch event: [workflows \"x\" already exists]"}"#;
        for (preset, status, body, expected) in [
            (Preset::StandardWebhook, 200, "", Accepted),
            (Preset::StandardWebhook, 204, "", Accepted),
            (Preset::StandardWebhook, 302, "", Slow),
            (Preset::StandardWebhook, 409, "", Slow),
            (Preset::StandardWebhook, 410, "", Stop),
            (Preset::StandardWebhook, 500, exists, Retry),
            (Preset::ArgoWorkflows, 200, "{}", Accepted),
            (Preset::ArgoWorkflows, 500, exists, AlreadyThere),
            (Preset::ArgoWorkflows, 500, "forbidden", Retry),
            (Preset::ArgoWorkflows, 503, "", Retry),
            (Preset::ArgoEvents, 200, "success", Accepted),
            (Preset::ArgoEvents, 400, "endpoint is inactive", Retry),
            (Preset::ArgoEvents, 401, "", Slow),
            (Preset::ArgoEvents, 500, "failed to record event", Retry),
            (Preset::Airflow3, 200, "", Accepted),
            (Preset::Airflow3, 409, "", AlreadyThere),
            (Preset::Airflow2, 409, "", AlreadyThere),
            (Preset::Airflow3, 422, "", Slow),
            (Preset::GithubWorkflowDispatch, 204, "", Accepted),
            (Preset::GithubWorkflowDispatch, 403, "secondary rate limit", Retry),
            (Preset::GithubWorkflowDispatch, 403, "Resource not accessible", Slow),
            (Preset::GithubRepositoryDispatch, 422, "", Slow),
            (Preset::Gitlab, 201, "", Accepted),
            (Preset::Gitlab, 404, "", Slow),
            (Preset::Jenkins, 201, "", Accepted),
            (Preset::Jenkins, 303, "", Slow),
            (Preset::Kubeflow, 200, "", Accepted),
            (Preset::Kubeflow, 503, "", Retry),
        ] {
            let rules = preset.provider(&BTreeMap::new()).rules;
            let judged = rules.judge(&Overrides::default(), status, body);
            assert_eq!(judged, expected, "{} {status} {body}", preset.name());
        }
        let plain = Preset::StandardWebhook.provider(&BTreeMap::new()).rules;
        for status in [400, 401, 403, 404, 405, 422] {
            assert_eq!(plain.judge(&Overrides::default(), status, ""), Slow, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(plain.judge(&Overrides::default(), status, ""), Retry, "{status}");
        }
    }

    #[test]
    fn an_operator_can_count_answers_otherwise() {
        let own = Overrides {
            success: vec![409, 302],
            permanent: vec![422],
            already: vec![(500, "exists".to_owned())],
        };
        let rules = Preset::Custom.provider(&BTreeMap::new()).rules;
        assert_eq!(rules.judge(&own, 409, ""), Judgement::AlreadyThere);
        assert_eq!(rules.judge(&own, 302, ""), Judgement::Accepted);
        assert_eq!(rules.judge(&own, 422, ""), Judgement::Stop);
        assert_eq!(rules.judge(&own, 500, "it exists"), Judgement::AlreadyThere);
        assert_eq!(rules.judge(&own, 500, ""), Judgement::Retry);
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let hint = |preset: Preset, status, body| {
            preset.provider(&BTreeMap::new()).rules.hint(status, body).unwrap()
        };
        let argo = Preset::ArgoWorkflows;
        assert!(hint(argo, 403, "failed to process webhook request").contains("no bearer token"));
        assert!(hint(argo, 403, "cannot list").contains("list workfloweventbindings"));
        assert!(hint(argo, 401, "").contains("token_file"));
        assert!(hint(argo, 307, "").contains("moved"));
        assert!(hint(Preset::Jenkins, 303, "").contains("API token"));
        assert!(hint(Preset::Gitlab, 404, "").contains("trigger token"));
    }
}
