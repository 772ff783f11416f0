//! From a file to a `Config`, or to every fault in it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;
use serde_json::json;
use serde_path_to_error::Segment;

use crate::config::Config;
use crate::config::check::Checker;
use crate::config::document;
use crate::config::document::Node;
use crate::config::document::Scalar;
use crate::config::fault::{Error, Fault, Faults, Mark};
use crate::config::fold;
use crate::config::interpolate;
use crate::config::schema;
use crate::config::typing;

/// Default of `retraining_trigger.token_file`.
const TOKEN_FILE: &str = "DRIFTD_WEBHOOK_TOKEN_FILE";

/// A configuration without faults.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// What works, and perhaps not as meant.
    pub warnings: Vec<Fault>,
    /// The file, with shorthands in their place.
    root: Node,
    /// Values that came from files and secret variables; they are never printed.
    secrets: Vec<String>,
}

/// Reads the file at `path`; `variable` looks up the environment.
///
/// # Errors
///
/// The file cannot be read, or every fault in it.
pub fn load(path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte more than it may have: what never ends, such as a device, is too large and takes no memory.
    let file = File::open(path).map_err(unreadable)?;
    file.take(document::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > document::MAX_BYTES {
        // It is told as too large, whatever letter it was cut in.
        bytes.fill(b' ');
    }
    let faults = |faults| Faults { file: path.to_owned(), faults };
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + String::from_utf8_lossy(good).matches('\n').count();
        let mark = Mark { line, column: 1 };
        faults(vec![Fault::new(mark, "", "is not UTF-8 text")])
    })?;
    let mut loaded = parse(&text, variable).map_err(faults)?;
    let found = loaded.read_importance(path.parent().unwrap_or(Path::new("")));
    if found.is_empty() { Ok(loaded) } else { Err(faults(found).into()) }
}

/// The same for a text that is not in a file.
///
/// # Errors
///
/// Every fault in it.
pub fn parse(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Fault>> {
    let mut root = document::parse(text)?;
    let mut faults = Vec::new();
    let secrets = interpolate::interpolate(&mut root, variable, &mut faults);
    let schema = schema::strict();
    let nothing_to_watch = !fold::fold(&mut root, &schema::keys(&schema), &mut faults);
    let mut typed = typing::typed(&root, &schema, &mut faults);
    if nothing_to_watch {
        typed.broken.push("models".to_owned());
    }
    if let Some(file) = variable(TOKEN_FILE).filter(|file| !file.is_empty()) {
        default_token_file(&mut typed.value, &file);
    }
    let config = build(typed.value, &root, &mut typed.broken, &mut faults);
    let mut warnings = Vec::new();
    if let Some(config) = &config {
        let mut checker = Checker::new(&root, &typed.broken);
        checker.config(config);
        faults.append(&mut checker.faults);
        warnings = checker.warnings;
    }
    faults.sort_by(|a, b| (a.mark, &a.path).cmp(&(b.mark, &b.path)));
    faults.dedup();
    match config {
        Some(config) if faults.is_empty() => Ok(Loaded { config, warnings, root, secrets }),
        _ => Err(faults),
    }
}

fn default_token_file(value: &mut Value, file: &str) {
    for model in value["models"].as_array_mut().into_iter().flatten() {
        let trigger = &mut model["drift_config"]["retraining_trigger"];
        if trigger.is_object()
            && trigger.get("token").is_none()
            && trigger.get("token_file").is_none()
            && trigger.get("github_app").is_none()
        {
            trigger["token_file"] = json!(file);
        }
    }
}

/// The structs. A value that its own type refuses (a span of time, a time) is reported and taken out,
/// so that the next one is found too.
fn build(
    mut value: Value,
    root: &Node,
    broken: &mut Vec<String>,
    faults: &mut Vec<Fault>,
) -> Option<Config> {
    loop {
        let error = match serde_path_to_error::deserialize::<_, Config>(&value) {
            Ok(mut config) => {
                config.baselines.client = config.client.clone();
                return Some(config);
            }
            Err(error) => error,
        };
        let (node, mut steps) = locate(root, error.path());
        let mut message = error.inner().to_string();
        let consequence = message.starts_with("missing field") && !broken.is_empty();
        if consequence || broken.contains(&node.path) {
            return None;
        }
        if let Some(Scalar { text, template: Some(template), .. }) = node.scalar() {
            message = message.replace(text.as_str(), template);
        }
        faults.push(Fault::new(node.mark, &node.path, message));
        broken.push(node.path.clone());
        // Out of an array nothing is taken, for the places of the others would move: the whole
        // array goes.
        while steps.pop_if(|step| step.parse::<usize>().is_ok()).is_some() {}
        let key = steps.pop()?;
        let pointer: String = steps.iter().map(|step| format!("/{}", escaped(step))).collect();
        value.pointer_mut(&pointer)?.as_object_mut()?.remove(&key)?;
    }
}

/// The node that a path of serde's leads to, as far as it is written, and the steps to it.
fn locate<'a>(root: &'a Node, path: &serde_path_to_error::Path) -> (&'a Node, Vec<String>) {
    let (mut node, mut steps) = (root, Vec::new());
    for segment in path {
        let (next, step) = match segment {
            Segment::Seq { index } => (node.items().get(*index), index.to_string()),
            Segment::Map { key } => (node.get(key), key.clone()),
            Segment::Enum { .. } | Segment::Unknown => break,
        };
        let Some(next) = next else { break };
        node = next;
        steps.push(step);
    }
    (node, steps)
}

/// For a JSON pointer.
fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

impl Loaded {
    /// Looks at the files that the configuration names (tokens, keys, certificates): those that
    /// cannot be used here and now.
    pub fn check_files(&self) -> Vec<Fault> {
        let mut checker = Checker::new(&self.root, &[]);
        checker.files(&self.config);
        checker.faults
    }

    /// What this user can't use here, and need not where driftd is to run: the folder of the state.
    pub fn check_folder(&self) -> Option<Fault> {
        let error = self.config.state.check_dir().err()?;
        Some(self.fault_at("state.dir", format!("for this user, here: {error}")))
    }

    /// How many of the warnings are about what will not work as written. Those of the listeners are about who
    /// may read, which is as it was written.
    pub fn alarming(&self) -> usize {
        self.warnings.iter().filter(|warning| !warning.path.starts_with("http.")).count()
    }

    /// Reads the weights that stand in files beside the configuration, which is in `folder`.
    fn read_importance(&mut self, folder: &Path) -> Vec<Fault> {
        let mut failed = Vec::new();
        for (i, model) in self.config.models.iter_mut().enumerate() {
            let importance = &mut model.drift_config.importance;
            if let Err(why) = importance.read(folder) {
                let file = importance.file.clone().unwrap_or_default();
                failed.push((i, format!("{file} can't be used: {why}")));
            }
        }
        let at = |(i, message)| {
            self.fault_at(&format!("models.{i}.drift_config.importance.file"), message)
        };
        failed.into_iter().map(at).collect()
    }

    /// A fault at the key `path` (`models.0.topic`), for what is found out later.
    pub fn fault_at(&self, path: &str, message: impl Into<String>) -> Fault {
        let (_, mark, path) = Checker::new(&self.root, &[]).find(path);
        Fault::new(mark, &path, message)
    }

    /// The configuration with every default, as it may be shown: secrets are `***`.
    pub fn shown(&self) -> Value {
        let mut value = serde_json::to_value(&self.config).unwrap_or_default();
        redact(&mut value, &self.secrets, false);
        value
    }
}

/// Keys under which librdkafka takes secrets.
fn is_secret(key: &str) -> bool {
    let words = ["password", "secret", "token", ".pem", "passphrase", "credential"];
    words.iter().any(|word| key.contains(word))
        && !key.ends_with("_file")
        && !key.ends_with(".location")
}

fn redact(value: &mut Value, secrets: &[String], secret: bool) {
    match value {
        Value::String(text) => {
            let from_secret = |s: &String| text == s || (s.len() >= 4 && text.contains(s.as_str()));
            if secret || secrets.iter().any(from_secret) {
                "***".clone_into(text);
            } else if let Ok(mut url) = url::Url::parse(text)
                && url.password().is_some()
                && url.set_password(Some("***")).is_ok()
            {
                *text = url.to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, secrets, secret)),
        Value::Object(map) => {
            for (key, value) in map {
                redact(value, secrets, secret || is_secret(key));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compare::Statistic;
    use crate::config::StartFrom;
    use crate::config::yaml::to_yaml;
    use crate::decide::Level;
    use crate::feature::Role;
    use crate::setting::Span;

    const BASE: &str = "kafka: {brokers: 'k:9092'}\ntopic: t\nreference_dataset: ref.parquet\n";

    fn load_with(more: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<Fault>> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        parse(&format!("{BASE}{more}"), &variable)
    }

    fn faults(more: &str) -> Vec<String> {
        let found = load_with(more, &[]).unwrap_err();
        found.into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
    }

    #[test]
    fn the_block_of_the_article_loads_unchanged() {
        let text = include_str!("../../config/seed.yaml");
        let block = "drift_config:
  monitoring_window_hours: 24
  reference_dataset: \"s3://ml-data/training/v2.3.1/reference.parquet\"
  thresholds:
    psi_alert: 0.1        # raise an alert
    psi_retrain: 0.2      # trigger the retraining pipeline
    prediction_drift_p_value: 0.05
  retraining_trigger:
    webhook: \"https://argo-workflows.internal/api/v1/events/default/mlops-retrain\"
    include_drift_report: true
    notification_channel: \"slack://ml-ops-alerts\"
";
        assert!(text.ends_with(block));
        let top = parse(text, &|_| None).unwrap();
        let nested = block.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let head = "kafka: {brokers: 'kafka:9092'}\nmodels:\n  - topic: fraud.inferences\n";
        let per_model = parse(&format!("{head}{nested}"), &|_| None).unwrap();
        assert_eq!(top.shown(), per_model.shown());

        let model = &top.config.models[0];
        assert_eq!(model.name, "fraud.inferences");
        assert_eq!(model.window(), Span::from_secs(86_400));
        let policy = model.policy();
        assert_eq!((policy.window_panes, policy.pane_ms), (288, 300_000));
        assert_eq!(policy.max_age_panes, 7 * 288);
        assert!(policy.has_trigger && !policy.dry_run);
        let paths: Vec<&str> = top.warnings.iter().map(|warning| warning.path.as_str()).collect();
        let trigger = "drift_config.retraining_trigger";
        // A token for Argo is missing, and a Slack for the channel.
        assert_eq!(paths, [trigger, &format!("{trigger}.notification_channel")]);
        assert_eq!(policy.output_p_values, [(Role::Prediction, 0.05)].into());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let found = faults(
            "paine: 5m\nlateness: 15\nmax_record_bytes: lots\nignore: [a]\nfeatures: {a: {kind: text}}\n\
             http: {public: nowhere}\nwindow: 7m\nthresholds: {psi_alert: abc, psi_retrain: -1}\n\
             name: ${NOWHERE}\n",
        );
        let paths: Vec<&str> =
            found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "paine",
                "lateness",
                "max_record_bytes",
                "features.a",
                "features.a.kind",
                "http.public",
                "window",
                "thresholds.psi_alert",
                "thresholds.psi_retrain",
                "name"
            ],
            "{found:#?}"
        );
    }

    #[test]
    fn text_stays_text_where_text_is_expected() {
        let loaded = load_with("ignore: [no, 1.10, ~x, 012]\nname: true\n", &[]);
        let model = &loaded.unwrap().config.models[0];
        assert_eq!(model.ignore, ["no", "1.10", "~x", "012"]);
        assert_eq!(model.name, "true");
    }

    #[test]
    fn a_key_with_nothing_behind_it_is_no_key() {
        let model = &load_with("pane:\nfields: ~\nthresholds:\n", &[]).unwrap().config.models[0];
        assert_eq!(model.pane, Span::from_secs(300));
        assert_eq!(model.threshold(Statistic::Psi, Level::Warning), Some(0.1));
    }

    #[test]
    fn variables_are_typed_by_the_schema_and_change_no_structure() {
        let hostile = "x\"\n  dry_run: true\nignore: [a, b]\n#";
        let loaded = load_with(
            "min_records: ${N}\nignore: ['${LIST}']\nstart: ${START:-earliest}\n",
            &[("N", "300"), ("LIST", hostile)],
        )
        .unwrap();
        let model = &loaded.config.models[0];
        assert_eq!(model.drift_config.min_records, 300);
        assert_eq!(model.ignore, [hostile]);
        assert!(!model.drift_config.dry_run);
        assert_eq!(model.start, StartFrom::Earliest);
        let found = load_with("min_records: ${N}\n", &[("N", "hunter2")]).unwrap_err();
        assert_eq!(found[0].message, "expected a whole number, found `${N}`");
        let found = load_with("pane: ${N}\n", &[("N", "hunter2")]).unwrap_err();
        assert!(found[0].message.starts_with("`${N}` is not a span"), "{found:?}");
    }

    #[test]
    fn the_token_file_of_the_environment_is_the_default() {
        let trigger = "retraining_trigger:\n  webhook: https://a.example/\n";
        let variables = [(TOKEN_FILE, "/run/token")];
        let token_file = |more: &str| {
            let loaded = load_with(&format!("{trigger}{more}"), &variables).unwrap();
            let trigger = loaded.config.models[0].drift_config.retraining_trigger.clone();
            trigger.unwrap().token_file
        };
        assert_eq!(token_file("").unwrap().to_str(), Some("/run/token"));
        assert_eq!(token_file("  token_file: /own\n").unwrap().to_str(), Some("/own"));
        assert_eq!(token_file("  token: abc\n"), None);
        let app = "  preset: github-repository-dispatch\n  with: {repository: a/b}\n  github_app: {app_id: 1, \
                   installation_id: 2, private_key_file: /k}\n";
        assert_eq!(token_file(app), None);
        assert!(load_with("", &variables).is_ok());
    }

    #[test]
    fn what_is_as_it_was_written_alarms_nobody() {
        let text = "http: {admin: '0.0.0.0:1', insecure_anyone_may_read: true}\n";
        let loaded = load_with(text, &[]).unwrap();
        assert_eq!((loaded.warnings.len(), loaded.alarming()), (1, 0));
        let argo = "retraining_trigger: {webhook: 'https://a.example/api/v1/events/default/x'}\n";
        let loaded = load_with(&format!("{text}{argo}"), &[]).unwrap();
        assert_eq!((loaded.warnings.len(), loaded.alarming()), (2, 1));
    }

    #[test]
    fn baselines_are_reached_as_everything_else() {
        let loaded = load_with("client: {ca_file: internal.crt}", &[]).unwrap();
        assert_eq!(loaded.config.baselines.client, loaded.config.client);
        assert!(loaded.config.client.ca_file.is_some());
    }

    #[test]
    fn secrets_are_never_shown() {
        let loaded = load_with(
            "retraining_trigger:\n  webhook: https://a.example/?t=${API_TOKEN}\n  token: hunter2\n  \
             secret: whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==\n  body: '{\"t\": \"${API_TOKEN}\"}'\n\
             notifiers: {slack: {webhook_url: 'https://hooks.example/hunter2'}}\n",
            &[("API_TOKEN", "hunter2")],
        )
        .unwrap();
        let shown = loaded.shown().to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("aHVud"), "{shown}");
        let text = "kafka:\n  brokers: k:1\n  options: {sasl.password: hunter2, sasl.username: u, \
                    ssl.ca.location: /ca.pem}\ntopic: t\nreference_dataset: r\n";
        let shown = parse(text, &|_| None).unwrap().shown();
        assert_eq!(shown["kafka"]["options"]["sasl.password"], "***");
        assert_eq!(shown["kafka"]["options"]["sasl.username"], "u");
        assert_eq!(shown["kafka"]["options"]["ssl.ca.location"], "/ca.pem");
    }

    #[test]
    fn what_is_shown_loads_again() {
        for text in [
            include_str!("../../config/seed.yaml"),
            include_str!("../../config/two-models.yaml"),
            include_str!("../../config/driftd.yaml"),
        ] {
            let shown = parse(text, &|_| None).unwrap().shown();
            let again = parse(&to_yaml(&shown), &|_| None).unwrap();
            assert_eq!(again.shown(), shown);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n]{0,200}") {
            let faults = parse(&text, &|_| None).err();
            prop_assert!(faults.is_none_or(|faults| !faults.is_empty()));
        }

        #[test]
        fn any_value_is_kept_by_interpolation(value in any::<String>()) {
            let loaded = load_with("ignore: [a, '${V}', b]\n", &[("V", &value)]).unwrap();
            prop_assert_eq!(&loaded.config.models[0].ignore, &["a", value.as_str(), "b"]);
        }

        #[test]
        fn any_text_reads_back_from_yaml(text in any::<String>(), key in "[a-z$ ]{1,8}") {
            let yaml = to_yaml(&json!({key.clone(): [{"a": text.clone(), "b": 1}]}));
            let mut node = document::parse(&yaml).unwrap();
            let mut faults = Vec::new();
            interpolate::interpolate(&mut node, &|_| None, &mut faults);
            prop_assert_eq!(faults, vec![]);
            let inner = node.entries()[0].node.items()[0].get("a").unwrap();
            prop_assert_eq!(&inner.scalar().unwrap().text, &text);
        }
    }
}
