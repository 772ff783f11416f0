//! Who is in a consumer group.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::Error;
use crate::kafka::consumer;

const PATIENCE: Duration = Duration::from_secs(10);
const CLOSE: Duration = Duration::from_secs(2);

/// How many members the group of a configuration has; one that nobody has ever joined has none.
///
/// # Errors
/// When the group's broker does not tell.
pub fn members(config: &Config) -> Result<usize, Error> {
    let consumer = Arc::new(consumer::create(config, &config.client_config()?)?);
    let until = Instant::now() + PATIENCE;
    let members = loop {
        // Serves the token of OAUTHBEARER, without which nothing connects.
        let _event = consumer.poll(Duration::ZERO);
        let listed = consumer.fetch_group_list(Some(&config.group), PATIENCE / 2);
        match listed {
            Ok(list) => {
                let ours = list.groups().iter().filter(|group| group.name() == config.group);
                break Ok(ours.map(|group| group.members().len()).sum());
            }
            Err(cause) if Instant::now() >= until => {
                let doing = format!("ask who is in group `{}`", config.group);
                break Err(Error::Request { doing, cause });
            }
            Err(_) => {}
        }
    };
    if let Err(error) = consumer::retire(move || drop(consumer), CLOSE) {
        tracing::debug!(%error, "a reader is still closing");
    }
    members
}
