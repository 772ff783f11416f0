//! Settings of replicas that share their state.

use crate::config::Config;
use crate::config::Role;
use crate::config::check::Checker;
use crate::kafka;
use crate::store::Backend;

impl Checker<'_> {
    /// What replicas share.
    pub(super) fn shared(&mut self, config: &Config) {
        let file = config.state.backend == Backend::File;
        if file && config.role != Role::All {
            let message = "needs `state.backend: kafka`: with files one process does everything";
            self.fault(&["role"], message);
        }
        let topics = &config.state.topics;
        if !kafka::is_topic(&topics.prefix) || topics.prefix.len() > 200 {
            let message =
                "can't begin the name of a topic: letters, digits, `.`, `_`, `-`, at most 200";
            self.fault(&["state.topics.prefix"], message);
        }
        if !(1..=1000).contains(&topics.partitions) {
            self.fault(&["state.topics.partitions"], "must be from 1 to 1000");
        }
    }
}
