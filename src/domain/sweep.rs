//! Finding drift for thousands of applications with one list and a bounded number of reads.

use std::collections::{BTreeMap, BTreeSet};

use super::difference::shows_in_list;
use super::registration::{ClientId, Desired, Listed};
use jiff::Timestamp;

/// How many registrations one sweep reads in full, at the most.
pub const READS: usize = 60;

/// How many folders one sweep reads, at the most.
pub const FOLDERS: usize = 200;

/// How many applications there must be before the loss of all of their registrations is taken for another database.
const ENOUGH: usize = 5;

/// Whether the list is rather that of another database than of this server after somebody deleted registrations: none of
/// many is there.
pub fn all_vanished<'a>(known: impl Iterator<Item = &'a ClientId>, list: &[Listed]) -> bool {
    let there: BTreeSet<&ClientId> = list.iter().map(|row| &row.client_id).collect();
    let mut count = 0;
    let mut known = known.inspect(|_| count += 1);
    let none = known.all(|id| !there.contains(id));
    none && count >= ENOUGH
}

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

/// One assignment of roles as a sweep sees it.
pub struct Compared<K> {
    pub key: K,
    /// The tenant and the paths of its folders: each is one read, however many assignments share it.
    pub tenant: String,
    pub folders: Vec<String>,
    pub at: Option<Timestamp>,
}

/// The assignments to compare in this sweep: those compared longest ago first, as long as their folders are few enough.
pub fn due_for_comparison<K>(mut assignments: Vec<Compared<K>>) -> Vec<K> {
    assignments.sort_by_key(|assignment| assignment.at);
    let mut folders: BTreeSet<(String, String)> = BTreeSet::new();
    let mut due = Vec::new();
    for Compared { key, tenant, folders: own, .. } in assignments {
        folders.extend(own.into_iter().map(|path| (tenant.clone(), path)));
        if folders.len() > FOLDERS && !due.is_empty() {
            break;
        }
        due.push(key);
    }
    due
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
    fn only_the_loss_of_all_of_many_registrations_looks_like_another_database() {
        let ids: Vec<ClientId> = (0..5).map(|n| ClientId::new(n.to_string())).collect();
        assert!(all_vanished(ids.iter(), &[registered("foreign").as_listed()]));
        assert!(!all_vanished(ids.iter(), &[registered("3").as_listed()]));
        assert!(!all_vanished(ids[..4].iter(), &[]), "few may well have been deleted by hand");
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

    #[test]
    fn assignments_take_turns_and_those_that_share_folders_count_once() {
        let compared = |key: usize, folder: &str, at: Option<i64>| Compared {
            key,
            tenant: "T".into(),
            folders: vec![folder.to_owned()],
            at: at.map(|second| NOON + SignedDuration::from_secs(second)),
        };
        let sharing: Vec<_> = (0..1_000).map(|key| compared(key, "Shared", None)).collect();
        assert_eq!(due_for_comparison(sharing).len(), 1_000);
        let own: Vec<_> = (0..300).map(|key| compared(key, &key.to_string(), (key < 150).then_some(0))).collect();
        let due = due_for_comparison(own);
        assert_eq!(due.len(), FOLDERS);
        assert!((150..300).all(|key| due.contains(&key)), "those never compared come first");
        let large =
            Compared { key: 0, tenant: "T".into(), folders: (0..250).map(|n| n.to_string()).collect(), at: None };
        assert_eq!(due_for_comparison(vec![large]), [0], "one that is larger than a sweep still has its turn");
    }
}
