//! What a schedule asks of chance.

use crate::dice::Dice;

impl Dice {
    pub(super) fn up_to(&mut self, most: i64) -> i64 {
        i64::try_from(self.draw() % (most.unsigned_abs() + 1)).unwrap()
    }

    /// True in so many of a hundred.
    pub(super) fn in_hundred(&mut self, n: usize) -> bool {
        self.below(100) < n
    }
}
