//! A database whose end takes nothing else with it.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Database;

/// A database that may turn out damaged: redb asserts when it closes some damaged files, and a
/// damaged file is no reason to go down.
pub struct Quiet {
    name: &'static str,
    // Taken in `drop` alone.
    database: Option<Database>,
}

impl Quiet {
    /// Holds `database`, called `name` in the log.
    pub const fn new(name: &'static str, database: Database) -> Self {
        Self { name, database: Some(database) }
    }
}

impl Deref for Quiet {
    type Target = Database;

    fn deref(&self) -> &Database {
        match &self.database {
            Some(database) => database,
            None => unreachable!("it is taken when it is dropped, and not before"),
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let database = self.database.take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::error!(
                "{} is damaged: it could not be closed in order; the next start repairs it or puts it aside",
                self.name
            );
        }
    }
}
