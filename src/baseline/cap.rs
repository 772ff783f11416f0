//! The most that one baseline may have of anything, and what is said of more: everything that is counted,
//! stored and exported is a multiple of these.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::baseline::FeatureBaseline;
use crate::histogram::Cells;

/// Features of one model; a pane of all of them is some 20 MB.
const FEATURES_MAX: usize = 50_000;
/// Bytes of a name; it stands in every series and message about the feature.
const NAME_MAX: usize = 512;
/// 480 quantile cells, and room for edges that a parity profile adds.
const EDGES_MAX: usize = 4096;
/// Categories with a cell each.
pub(super) const LISTED_MAX: usize = 255;
/// Categories that are known beside those.
const REST_MAX: usize = 1_000_000;
/// Bytes of all categories with a cell.
const TEXT_MAX: usize = 1 << 20;
/// Characters of a long name that are shown.
const SHOWN: usize = 40;

/// What there is too much of. `column` is cut where it is long.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "cap", rename_all = "snake_case")]
pub enum CapError {
    #[error(
        "{found} columns would be features, and {most} are the most of one model; leave out what \
         the model does not use by `ignore`, or watch it as several models"
    )]
    Features { found: usize, most: usize },
    #[error(
        "the name of column `{column}` has {found} bytes, and {most} are the most; rename the \
         column, or leave it out by `ignore`"
    )]
    Name { column: String, found: usize, most: usize },
    #[error(
        "column `{column}` has {found} edges of cells, and {most} are the most; build its profile \
         again with `driftd baseline build`"
    )]
    Edges { column: String, found: usize, most: usize },
    #[error(
        "column `{column}` has {found} categories with a cell, and {most} are the most; build its \
         profile again with `driftd baseline build`"
    )]
    Listed { column: String, found: usize, most: usize },
    #[error(
        "column `{column}` has {found} rare categories, and {most} are the most; leave it out by \
         `ignore`, or write fewer categories"
    )]
    Rest { column: String, found: usize, most: usize },
    #[error(
        "the categories of column `{column}` have {found} bytes together, and {most} are the most; \
         it is text and no category: leave it out by `ignore`"
    )]
    Text { column: String, found: usize, most: usize },
}

/// Whether features of these names may be one model's.
///
/// # Errors
/// The first thing that there is too much of.
pub fn check_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Result<(), CapError> {
    if names.len() > FEATURES_MAX {
        return Err(CapError::Features { found: names.len(), most: FEATURES_MAX });
    }
    for name in names {
        if name.len() > NAME_MAX {
            let (column, found) = (shown(name), name.len());
            return Err(CapError::Name { column, found, most: NAME_MAX });
        }
    }
    Ok(())
}

/// Whether a feature's cells may be.
///
/// # Errors
/// What there is too much of.
pub fn check_cells(feature: &FeatureBaseline) -> Result<(), CapError> {
    let column = || shown(&feature.name);
    match &feature.cells {
        Cells::Numeric(cells) if cells.edges.len() > EDGES_MAX => {
            let (column, found) = (column(), cells.edges.len());
            Err(CapError::Edges { column, found, most: EDGES_MAX })
        }
        Cells::Numeric(_) => Ok(()),
        Cells::Categorical(cells) => {
            let (listed, rest) = (cells.categories.len(), cells.rest.len());
            let text: usize = cells.categories.iter().map(|category| category.len()).sum();
            if listed > LISTED_MAX {
                return Err(CapError::Listed { column: column(), found: listed, most: LISTED_MAX });
            }
            if rest > REST_MAX {
                return Err(CapError::Rest { column: column(), found: rest, most: REST_MAX });
            }
            if text > TEXT_MAX {
                return Err(CapError::Text { column: column(), found: text, most: TEXT_MAX });
            }
            Ok(())
        }
    }
}

/// A name as it may stand in a message.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(SHOWN).is_some() { short + "..." } else { short }
}
