//! What must be so, for `--exit` to end well.

use std::fmt::Display;
use std::time::Duration;

/// Collects what was looked at.
#[derive(Default)]
pub struct Checks {
    seen: Vec<(bool, String)>,
}

impl Checks {
    /// Notes whether something holds.
    pub fn that(&mut self, what: impl Display, holds: bool) {
        self.seen.push((holds, what.to_string()));
    }

    /// The same for a value, which is shown if it is another.
    pub fn equal<T: PartialEq + Display>(&mut self, what: impl Display, actual: &T, expected: &T) {
        if actual == expected {
            self.that(what, true);
        } else {
            self.that(format!("{what}: expected {expected}, found {actual}"), false);
        }
    }

    pub fn all_passed(&self) -> bool {
        self.seen.iter().all(|(holds, _)| *holds)
    }

    pub fn print(&self, took: Duration) {
        let failed: Vec<_> = self.seen.iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect();
        let (count, seconds) = (self.seen.len(), took.as_secs_f64());
        if failed.is_empty() {
            println!("\nAll {count} expectations hold; {seconds:.1} s in all.");
            return;
        }
        println!("\n{} of {count} expectations do NOT hold:", failed.len());
        for what in failed {
            println!("  {what}");
        }
    }
}
