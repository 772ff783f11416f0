//! What a tracking server answers, as far as it is read.

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct VersionAnswer {
    pub(super) model_version: ModelVersion,
}

#[derive(Deserialize)]
pub(super) struct ModelVersion {
    pub(super) version: String,
    #[serde(default)]
    pub(super) run_id: String,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    /// Milliseconds since the epoch.
    pub(super) creation_timestamp: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Deserialize)]
pub(super) struct UriAnswer {
    pub(super) artifact_uri: String,
}

#[derive(Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    pub(super) files: Vec<File>,
}

#[derive(Deserialize)]
pub(super) struct File {
    pub(super) path: String,
    #[serde(default)]
    pub(super) is_dir: bool,
    #[serde(default)]
    pub(super) file_size: u64,
}

#[derive(Deserialize)]
pub(super) struct RunAnswer {
    pub(super) run: Run,
}

#[derive(Deserialize)]
pub(super) struct Run {
    pub(super) info: RunInfo,
    #[serde(default)]
    pub(super) inputs: Inputs,
}

#[derive(Deserialize)]
pub(super) struct RunInfo {
    pub(super) artifact_uri: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Inputs {
    #[serde(default)]
    pub(super) dataset_inputs: Vec<DatasetInput>,
}

#[derive(Deserialize)]
pub(super) struct DatasetInput {
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    pub(super) dataset: Dataset,
}

#[derive(Deserialize)]
pub(super) struct Dataset {
    /// JSON in a string.
    pub(super) source: String,
}

#[derive(Deserialize)]
pub(super) struct Refusal {
    pub(super) error_code: String,
    pub(super) message: String,
}

impl Inputs {
    /// Where the rows are that the run trained on, if it is a URL.
    pub(super) fn training(self) -> Option<String> {
        let is_training =
            |tag: &Tag| tag.key == "mlflow.data.context" && tag.value.starts_with("train");
        let chosen = self.dataset_inputs.into_iter().find(|i| i.tags.iter().any(is_training))?;
        let source: serde_json::Value = serde_json::from_str(&chosen.dataset.source).ok()?;
        let named = ["uri", "url", "path"].iter().find_map(|key| source.get(key)?.as_str())?;
        (named.contains("://") && !named.starts_with("file:")).then(|| named.to_owned())
    }
}
