//! Where the rows of a file have their time: the same options wherever files are read.

use clap::ValueEnum;

use crate::decode::TimeUnit;
use crate::decode::fields::Zone;
use crate::source::file::TimeAsked;

#[derive(Debug, clap::Args)]
pub(super) struct RowTime {
    /// The column, key or JSON pointer that says when a row happened [default: `fields.event_time`,
    /// else found by type and name]
    #[arg(long, value_name = "NAME")]
    time_column: Option<String>,
    /// The unit of times that are numbers [default: what makes it a year between 2000 and 2100]
    #[arg(long, value_enum, value_name = "UNIT")]
    time_unit: Option<Unit>,
    /// The time zone of times without an offset [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    time_zone: Option<Zone>,
    /// Put the rows in order of time first; they must fit in memory
    #[arg(long)]
    pub(super) sort: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unit {
    S,
    Ms,
    Us,
    Ns,
}

impl From<Unit> for TimeUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::S => Self::S,
            Unit::Ms => Self::Ms,
            Unit::Us => Self::Us,
            Unit::Ns => Self::Ns,
        }
    }
}

fn zone(name: &str) -> Result<Zone, String> {
    Zone::try_from(name.to_owned()).map_err(|error| error.to_string())
}

impl RowTime {
    /// What was said; `rows_per_pane` for rows that have none.
    pub(super) fn asked(&self, rows_per_pane: Option<u64>) -> TimeAsked {
        TimeAsked {
            column: self.time_column.clone(),
            unit: self.time_unit.map(TimeUnit::from),
            zone: self.time_zone.clone(),
            rows_per_pane,
        }
    }
}
