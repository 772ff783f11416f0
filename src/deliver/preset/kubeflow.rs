//! Kubeflow Pipelines v2: a run, found again by its display name.

use crate::deliver::provider::{Auth, Confirm, Lookup, Of, Provider, RunFrom, Setting};
use crate::deliver::rules::Rules;

/// It keeps no key of ours, so runs of that name are asked for before one is made. Its columns take 255
/// characters, and it starts the workflow before it finds that out.
pub(super) static PIPELINES: Provider = Provider {
    url: "{{webhook}}/apis/v2beta1/runs",
    standard_headers: false,
    body: r#"{
        "display_name": "driftd {{model}} {{id}}",
        "description": "{{summary_short}}",
        "experiment_id": "{{with.experiment_id}}",
        "pipeline_version_reference": {
            "pipeline_id": "{{with.pipeline_id}}",
            "pipeline_version_id": "{{with.pipeline_version_id}}"
        },
        "runtime_config": {
            "parameters": "{{parameters}}",
            "pipeline_root": "{{with.pipeline_root}}"
        },
        "service_account": "{{with.service_account}}"
    }"#,
    settings: &[
        Setting::required("pipeline_id", "0a1b...", "the pipeline's id"),
        Setting::optional(
            "pipeline_version_id",
            "2c3d...",
            "one version of it; default: the latest",
        ),
        Setting::optional("experiment_id", "4e5f...", "the experiment that the run belongs to"),
        Setting::optional("pipeline_root", "s3://ml/root", "where its artifacts go"),
        Setting::optional("service_account", "pipeline-runner", "who it runs as"),
    ],
    parameters: &[
        ("event_id", "{{id}}"),
        ("model", "{{model}}"),
        ("train_from", "{{training_window.from}}"),
        ("train_to", "{{training_window.to}}"),
    ],
    auth: Auth::Optional,
    rules: &Rules {
        hints: &[
            (
                400..=400,
                "",
                "the run is refused: are these the pipeline's parameters, and its ids right?",
            ),
            (
                401..=403,
                "",
                "in the cluster, `token_file` is a projected token for the audience \
                 pipelines.kubeflow.org, usually /var/run/secrets/kubeflow/pipelines/token",
            ),
            (404..=404, "", "no such pipeline, version or experiment; or the URL is not the API's"),
        ],
        ..Rules::PLAIN
    },
    lookup: Some(Lookup {
        url: "{{webhook}}/apis/v2beta1/runs?page_size=10&experiment_id={{with.experiment_id}}&filter=\
              {\"predicates\":[{\"operation\":\"EQUALS\",\"key\":\"display_name\",\"string_value\":\
              \"driftd {{model}} {{id}}\"}]}",
        always: true,
        items: "/runs",
        run: "/run_id",
        equals: Some(("/display_name", "driftd {{model}} {{id}}")),
    }),
    confirm: Some(Confirm {
        by_default: true,
        own_token: None,
        url: "{{webhook}}/apis/v2beta1/runs/{{run}}",
        run: RunFrom::Body("/run_id"),
        of: Of::Itself,
        then: None,
        state: &["/state"],
        succeeded: &["SUCCEEDED"],
        failed: &["FAILED", "CANCELED", "SKIPPED"],
        page: None,
    }),
    ..Provider::PLAIN
};
