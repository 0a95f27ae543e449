//! Faults on demand, for the test build alone: how neighbours fare when one stream's code panics.

/// Panics when an event of type `fault.panic` is appended.
///
/// # Panics
/// On purpose.
#[expect(clippy::panic, reason = "this is what it is for")]
pub fn provoke(append: &str) {
    if append.contains("\nfault.panic\t") {
        panic!("a fault was asked for");
    }
}
