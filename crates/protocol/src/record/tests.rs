//! Claims about batches that need more than one module.

use super::*;

#[test]
fn sequences_wrap_from_the_largest_to_zero() {
    assert_eq!(increment_sequence(i32::MAX, 1), 0);
    assert_eq!(increment_sequence(i32::MAX - 1, 3), 1);
    assert_eq!(increment_sequence(5, 10), 15);
}
