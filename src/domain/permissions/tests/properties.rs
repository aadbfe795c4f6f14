//! Whatever the tenant is like: a plan is carried out once, may break off anywhere, and touches nothing foreign.

use proptest::prelude::*;

use super::*;

const FOLDERS: [(i64, &str); 3] = [(10, "Shared"), (11, "Shared/Finance"), (12, "Shared/People")];
const ROLES: [(i64, &str); 3] = [(2, "Queue Reader"), (3, "Queue Writer"), (4, "Auditor")];

/// Who has which roles: a place is the tenant (0) or a folder. A place that is not there is not assigned.
type Assigned = BTreeMap<(String, i64), BTreeSet<String>>;

/// A tenant that steps are carried out in.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    /// In the order of their numbers.
    users: Vec<String>,
    assigned: Assigned,
}

impl Model {
    fn world(&self) -> World {
        let folders_of = |user: &str| -> Vec<(i64, Vec<String>)> {
            let own = self.assigned.iter().filter(|((name, place), _)| name == user && *place != 0);
            own.map(|((_, place), roles)| (*place, roles.iter().cloned().collect())).collect()
        };
        let mut world = World::new();
        for (number, user) in self.users.iter().enumerate() {
            if user.is_empty() {
                continue;
            }
            let id = UserId::new(100 + i64::try_from(number).expect("few"));
            let folders = folders_of(user);
            let roles = self.assigned.get(&(user.clone(), 0)).cloned().unwrap_or_default();
            let numbers = folders.iter().map(|(id, _)| FolderId(*id)).collect();
            world.tenant.users.push(User {
                id: id.clone(),
                principal: PrincipalId::new(user),
                roles,
                folders: Some(numbers),
            });
            for (folder, roles) in folders {
                let members = Arc::make_mut(world.members.entry(FolderId(folder)).or_default());
                members.push(Member { user: id.clone(), roles: roles.into_iter().collect(), folders: None });
            }
        }
        world
    }

    fn name(&self, id: &UserId) -> String {
        self.users[number(id)].clone()
    }

    fn admit(&mut self, principal: &str) {
        if !self.users.iter().any(|user| user == principal) {
            self.users.push(principal.to_owned());
        }
    }

    fn carry_out(&mut self, step: &Step, object: &mut RoleAssignment, assessment: &Assessment) {
        let names = |ids: &[RoleId]| -> BTreeSet<String> {
            tenant().roles.iter().filter(|role| ids.contains(&role.id)).map(|role| role.name.clone()).collect()
        };
        match step {
            Step::Record => {
                let begun = Outcome::Begun(Box::new(assessment.clone()));
                object.status = status(object, &begun, NOON).or(object.status.take());
            }
            Step::Admit { roles } => {
                self.admit("me");
                self.assigned.insert(("me".into(), 0), roles.clone());
            }
            Step::SetTenantRoles { user, roles } => {
                self.assigned.insert((self.name(user), 0), names(roles));
            }
            Step::SetFolderRoles { user, folders } => {
                let user = user.as_ref().map_or_else(|| "me".to_owned(), |user| self.name(user));
                self.admit(&user);
                for (folder, roles) in folders {
                    self.assigned.insert((user.clone(), folder.0), names(roles));
                }
            }
            Step::Leave { user, folder } => {
                self.assigned.remove(&(self.name(user), folder.0));
            }
            Step::Expel { user } => {
                let name = self.name(user);
                self.assigned.retain(|(user, _), _| *user != name);
                let number = number(user);
                self.users[number] = String::new();
            }
        }
    }

    /// One pass that is killed after so many steps; reports only if it was not.
    fn pass(&mut self, object: &mut RoleAssignment, steps: usize) -> bool {
        let assessment = self.world().assess(object, &[]);
        *object = guarded(object.clone());
        for step in assessment.steps.iter().take(steps) {
            self.carry_out(step, object, &assessment);
        }
        if assessment.steps.len() > steps {
            return false;
        }
        let done = Outcome::Done(Box::new(assessment));
        object.status = status(object, &done, NOON).or(object.status.take());
        true
    }
}

fn some_roles() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(ROLES.map(|(_, name)| name).to_vec(), 1..=2)
}

fn spec() -> impl Strategy<Value = (Vec<&'static str>, Vec<(&'static str, Vec<&'static str>)>)> {
    let tenant = prop_oneof![Just(vec![]), Just(vec!["Auditor"]), Just(vec!["Allow to be Automation User"])];
    let paths = proptest::sample::subsequence(FOLDERS.map(|(_, path)| path).to_vec(), 0..=3);
    let folders = paths.prop_flat_map(|paths| {
        let count = paths.len();
        (Just(paths), proptest::collection::vec(some_roles(), count))
            .prop_map(|(paths, roles)| paths.into_iter().zip(roles).collect::<Vec<_>>())
    });
    (tenant, folders)
}

fn object(spec: &(Vec<&'static str>, Vec<(&'static str, Vec<&'static str>)>)) -> RoleAssignment {
    let folders: Vec<(&str, &[&str])> = spec.1.iter().map(|(path, roles)| (*path, roles.as_slice())).collect();
    assignment("a", &spec.0, &folders)
}

fn model() -> impl Strategy<Value = Model> {
    let place = prop_oneof![Just(0_i64), Just(10), Just(11), Just(12)];
    let user = prop_oneof![Just("me".to_owned()), Just("former".to_owned()), Just("foreign".to_owned())];
    let entry = ((user, place), some_roles().prop_map(|roles| set(&roles)));
    proptest::collection::vec(entry, 0..6).prop_map(|entries| {
        let assigned: Assigned = entries.into_iter().collect();
        let mut users: Vec<String> = assigned.keys().map(|(user, _)| user.clone()).collect();
        users.dedup();
        Model { users, assigned }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// However often and wherever passes are killed, the roles come to be exactly as listed, nothing else of the
    /// application or of anybody else changes, and then there is nothing to do.
    #[test]
    fn passes_that_break_off_anywhere_lead_to_what_is_listed(
        before in model(), first in spec(), second in spec(), kills in proptest::collection::vec(0_usize..4, 0..4),
    ) {
        let mut world = before.clone();
        let mut live = object(&first);
        for kill in &kills {
            world.pass(&mut live, *kill);
        }
        live.spec = object(&second).spec;
        live.metadata.generation = Some(2);
        prop_assert!(world.pass(&mut live, usize::MAX));
        prop_assert_eq!(world.world().steps(&live), vec![]);
        let listed: BTreeMap<i64, BTreeSet<String>> = second.1.iter().map(|(path, roles)| {
            let id = FOLDERS.iter().find(|(_, known)| known == path).expect("a folder").0;
            (id, set(roles))
        }).collect();
        let ever: BTreeSet<&str> = first.1.iter().map(|(path, _)| *path).collect();
        for (id, path) in FOLDERS {
            let now = world.assigned.get(&("me".into(), id));
            match listed.get(&id) {
                Some(roles) => prop_assert_eq!(now, Some(roles)),
                // Listed before: whatever is there was there before the assignment first touched it, or nothing is.
                None if ever.contains(path) => prop_assert!(now.is_none() || now == before.assigned.get(&("me".into(), id))),
                None => prop_assert_eq!(now, before.assigned.get(&("me".into(), id))),
            }
        }
        let tenant = world.assigned.get(&("me".into(), 0)).cloned().unwrap_or_default();
        prop_assert_eq!(tenant, set(&second.0));
        let foreign = |model: &Model| -> Assigned {
            model.assigned.iter().filter(|((user, _), _)| user != "me").map(|(key, roles)| (key.clone(), roles.clone())).collect()
        };
        prop_assert_eq!(foreign(&world), foreign(&before));
    }

    /// Deleting takes away what was given, and nothing that was there in folders never listed.
    #[test]
    fn a_departure_leaves_what_was_never_listed(
        before in model(), spec in spec(), kill in 0_usize..4,
    ) {
        let mut world = before.clone();
        let mut live = object(&spec);
        world.pass(&mut live, kill);
        if holds(&live) {
            let seen = world.world();
            let principal = Record::of(&live).principal.expect("recorded");
            if let Some(user) = seen.tenant.user(&principal) {
                let assessment = seen.assess(&live, &[]);
                for step in departure(&live, &Record::of(&live), user, &[]) {
                    world.carry_out(&step, &mut live, &assessment);
                }
            }
        } else {
            prop_assert_eq!(&world, &before, "without a record nothing was done");
        }
        let listed: BTreeSet<&str> = spec.1.iter().map(|(path, _)| *path).collect();
        for (id, path) in FOLDERS {
            let key = ("me".to_owned(), id);
            if holds(&live) && listed.contains(path) {
                prop_assert_eq!(world.assigned.get(&key), None);
            } else {
                prop_assert_eq!(world.assigned.get(&key), before.assigned.get(&key));
            }
        }
    }
}

/// The place of a user among all.
fn number(id: &UserId) -> usize {
    id.as_str().parse::<usize>().expect("a number") - 100
}
