//! What is checked of a model's checks by themselves; its baseline is asked in `config/fit`.

use std::collections::HashMap;

use crate::config::Model;
use crate::config::check::Checker;
use crate::decide::check::CHECKS_MAX;

impl Checker<'_> {
    pub(super) fn checks(&mut self, i: usize, model: &Model) {
        let all = format!("models.{i}.checks");
        let n = model.checks.len();
        if n > CHECKS_MAX {
            let message = format!(
                "{n} checks, and a model has at most {CHECKS_MAX}: each is a time series; keep those that \
                 somebody acts on"
            );
            self.fault(&[&all], message);
        }
        let mut names: HashMap<String, usize> = HashMap::new();
        for (at, check) in model.checks.iter().enumerate() {
            let key = |key: &str| match key {
                "" => format!("{all}.{at}"),
                key => format!("{all}.{at}.{key}"),
            };
            // What a faulty value leaves of a check says nothing of it.
            if self.is_broken_within(&key("")) {
                continue;
            }
            if let Some((of, message)) = check.fault() {
                self.fault(&[&key(of), &key("")], message);
                continue;
            }
            if let Some(feature) = check.feature.as_ref().filter(|name| model.ignore.contains(name))
            {
                let message = format!("`{feature}` is in `ignore`, so it is not counted");
                self.fault(&[&key("feature")], message);
            }
            let name = check.to_string();
            if let Some(first) = names.insert(name.clone(), at) {
                let message = format!(
                    "checks[{first}] is called `{name}` too; give one of them a `name` of its own"
                );
                self.fault(&[&key("name"), &key("")], message);
            }
        }
    }
}
