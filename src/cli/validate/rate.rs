//! How many records come in, as far as it can be found out.

use std::time::Duration;

use crate::cli::validate::Args;
use crate::clock::now_ms;
use crate::config::fit::{Rate, RateFrom};
use crate::config::{Config, Model};
use crate::kafka;

/// How long brokers may take to tell.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many records come in an hour: as given, else as the topic's offsets tell. A message that may be
/// another model's, or carry many rows, tells nothing.
pub(super) fn rate(args: &Args, config: &Config, model: &Model) -> Option<Rate> {
    if let Some(per_hour) = args.rate {
        return Some(Rate { per_hour, from: RateFrom::Given });
    }
    let fields = model.fields();
    if args.offline || fields.rows.is_some() || fields.model.is_some() || fields.filter.is_some() {
        return None;
    }
    // Whether the brokers can be reached at all is asked and told later.
    let per_hour = kafka::per_hour(&config.kafka, &model.topic, now_ms(), TIMEOUT).ok()??;
    Some(Rate { per_hour, from: RateFrom::Topic })
}
