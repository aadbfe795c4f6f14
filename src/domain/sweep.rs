//! Finding drift for thousands of applications with one list and a bounded number of reads.

use std::collections::BTreeMap;

use super::difference::shows_in_list;
use super::registration::{ClientId, Desired, Listed};
use jiff::Timestamp;

/// How many registrations one sweep reads in full, at the most.
pub const READS: usize = 60;

/// One application as a sweep sees it.
pub struct Swept<'a, K> {
    pub key: K,
    pub client_id: &'a ClientId,
    pub desired: Desired,
}

/// The applications whose registration is missing from the list or shows a difference in it.
pub fn suspects<K: Clone>(applications: &[Swept<'_, K>], list: &[Listed]) -> Vec<K> {
    let rows: BTreeMap<&ClientId, &Listed> = list.iter().map(|row| (&row.client_id, row)).collect();
    let differs = |app: &&Swept<'_, K>| rows.get(app.client_id).is_none_or(|row| shows_in_list(&app.desired, row));
    applications.iter().filter(differs).map(|app| app.key.clone()).collect()
}

/// The registrations to read in full in this sweep: those read longest ago first, never read before all others.
pub fn due(ids: &[ClientId], read_at: &BTreeMap<ClientId, Timestamp>) -> Vec<ClientId> {
    let mut order: Vec<(Option<Timestamp>, &ClientId)> = ids.iter().map(|id| (read_at.get(id).copied(), id)).collect();
    order.sort();
    order.into_iter().take(READS).map(|(_, id)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{NOON, desired, registered};
    use jiff::SignedDuration;

    #[test]
    fn a_missing_and_a_renamed_registration_are_suspect_and_a_foreign_one_is_nobodys_business() {
        let ids = ["a", "b", "c"].map(ClientId::new);
        let apps: Vec<Swept<'_, &str>> =
            ids.iter().map(|id| Swept { key: id.as_str(), client_id: id, desired: desired() }).collect();
        let mut renamed = registered("b").as_listed();
        renamed.display_name = "Else".into();
        let list = [registered("a").as_listed(), renamed, registered("foreign").as_listed()];
        assert_eq!(suspects(&apps, &list), ["b", "c"]);
    }

    #[test]
    fn reads_go_round_and_stay_within_their_share() {
        let ids: Vec<ClientId> = (0..100).map(|n| ClientId::new(format!("{n:03}"))).collect();
        let first = due(&ids, &BTreeMap::new());
        assert_eq!(first.len(), READS);
        let read: BTreeMap<ClientId, Timestamp> = first.iter().map(|id| (id.clone(), NOON)).collect();
        let second = due(&ids, &read);
        assert!(ids[READS..].iter().all(|id| second.contains(id)), "those never read come first");
        let mut later = read.clone();
        later.extend(second.iter().map(|id| (id.clone(), NOON + SignedDuration::from_secs(60))));
        assert!(!due(&ids, &later).contains(&ids[99]) || READS >= 100);
    }
}
