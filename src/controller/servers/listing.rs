//! A list of the server's registrations, as it was last asked for.

use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::registration::Listed;
use crate::server::ServerError;

/// The last list, or why there is none.
pub(super) struct Listing {
    pub asked: Timestamp,
    pub answered: Timestamp,
    pub result: Result<Arc<Vec<Listed>>, ServerError>,
}

impl Listing {
    /// A list serves whoever needs the state of a time before it was asked for. A failure serves those who waited for it,
    /// but not where it only says that the one who asked may not ask more.
    pub fn serves(&self, not_before: Timestamp, arrived: Timestamp) -> bool {
        match &self.result {
            Ok(_) => self.asked >= not_before,
            Err(ServerError::Budget { .. } | ServerError::RateLimited { .. }) => false,
            Err(_) => self.answered >= arrived,
        }
    }
}
