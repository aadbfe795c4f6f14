//! The resources and scopes that the stand-in offers.
//!
//! The names are the ones that public material shows for Automation Cloud. Which scopes are for users only is known
//! for few of them; the list here gives examples of each kind so that all three occur, and is no statement about
//! the real catalogue. A client must ask the server it talks to.

use std::collections::BTreeMap;

/// How an application uses a scope: the two values that a registration knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeType {
    /// On behalf of a signed-in user (number 0 in answers).
    User,
    /// On its own, by client credentials (number 1 in answers).
    Application,
}

impl ScopeType {
    /// The number that answers carry.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::User => 0,
            Self::Application => 1,
        }
    }

    /// The type for a number; `None` for any other than 0 and 1.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::User),
            1 => Some(Self::Application),
            _ => None,
        }
    }
}

/// Which types the catalogue allows for a scope. The numbers differ in meaning from [`ScopeType`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// User only (number 0).
    User,
    /// Application only (number 1).
    Application,
    /// Either (number 2).
    Either,
}

impl Availability {
    /// The number that the catalogue's answers carry.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::User => 0,
            Self::Application => 1,
            Self::Either => 2,
        }
    }

    /// Whether a registration may hold the scope with type `kind`.
    #[must_use]
    pub fn allows(self, kind: ScopeType) -> bool {
        match self {
            Self::User => kind == ScopeType::User,
            Self::Application => kind == ScopeType::Application,
            Self::Either => true,
        }
    }
}

/// A resource (an audience) and the scopes that belong to it.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The name that becomes the audience of tokens.
    pub name: &'static str,
    /// The name for people.
    pub display_name: &'static str,
    /// In order of their names.
    pub scopes: Vec<Scope>,
}

/// A scope of the catalogue.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The name that clients ask for.
    pub name: String,
    /// What it allows, for the person who is asked.
    pub description: String,
    /// Which types a registration may hold.
    pub available: Availability,
}

/// Every resource with its scopes, and the way from a scope to its resource.
#[derive(Clone, Debug)]
pub struct Catalogue {
    resources: Vec<Resource>,
    by_scope: BTreeMap<String, (usize, Availability)>,
}

impl Catalogue {
    /// The catalogue that every stand-in offers.
    #[must_use]
    pub fn seeded() -> Self {
        let mut resources = Vec::new();
        let mut by_scope = BTreeMap::new();
        for (index, seed) in SEED.iter().enumerate() {
            let mut scopes: Vec<Scope> = seed.groups.iter().flat_map(Group::scopes).collect();
            scopes.sort_by(|a, b| a.name.cmp(&b.name));
            by_scope.extend(scopes.iter().map(|scope| (scope.name.clone(), (index, scope.available))));
            resources.push(Resource { name: seed.name, display_name: seed.display_name, scopes });
        }
        Self { resources, by_scope }
    }

    /// All resources.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource of `scope` and the types it allows; `None` if there is no such scope.
    #[must_use]
    pub fn find(&self, scope: &str) -> Option<(&Resource, Availability)> {
        self.by_scope.get(scope).map(|&(index, available)| (&self.resources[index], available))
    }

    /// What `scope` allows, for people; `None` if there is no such scope.
    #[must_use]
    pub fn description(&self, scope: &str) -> Option<&str> {
        let (resource, _) = self.find(scope)?;
        resource.scopes.iter().find(|known| known.name == scope).map(|known| known.description.as_str())
    }

    /// The names of all scopes that a registration may hold with type `kind`.
    pub fn names_allowing(&self, kind: ScopeType) -> impl Iterator<Item = &str> {
        self.by_scope.iter().filter(move |(_, (_, available))| available.allows(kind)).map(|(name, _)| name.as_str())
    }
}

struct Seed {
    name: &'static str,
    display_name: &'static str,
    groups: &'static [Group],
}

/// Scopes that share the same endings and the same availability.
struct Group {
    stems: &'static [&'static str],
    endings: &'static [&'static str],
    available: Availability,
}

impl Group {
    fn scopes(&self) -> impl Iterator<Item = Scope> {
        self.stems.iter().flat_map(move |stem| {
            self.endings.iter().map(move |ending| Scope {
                name: format!("{stem}{ending}"),
                description: self.description(stem, ending),
                available: self.available,
            })
        })
    }

    fn description(&self, stem: &str, ending: &str) -> String {
        if stem == super::DEFAULT_SCOPE {
            return "Act with the roles that you have in tenants and folders".to_owned();
        }
        let verb = match ending {
            ".Read" => "Read",
            ".Write" => "Change",
            _ if self.endings.len() > 1 => "Read and change",
            _ => "Use",
        };
        format!("{verb} {}", subject(stem))
    }
}

/// What a scope is about: `test sets` for `OR.TestSets`.
fn subject(stem: &str) -> String {
    let mut parts: Vec<&str> = stem.split('.').collect();
    if parts.len() > 1 && matches!(parts.last(), Some(&("Api" | "Access" | "ApiAccess" | "Default"))) {
        parts.pop();
    }
    let about = if parts.len() > 1 { &parts[1..] } else { &parts[..] };
    let mut words = String::new();
    let mut before = None;
    for c in about.join(" ").chars() {
        if c.is_uppercase() && before.is_some_and(char::is_lowercase) {
            words.push(' ');
        }
        words.push(c);
        before = Some(c);
    }
    let acronym = |word: &str| word.len() > 1 && word.chars().all(char::is_uppercase);
    let plain = |word: &str| if acronym(word) { word.to_owned() } else { word.to_lowercase() };
    words.split(' ').map(plain).collect::<Vec<_>>().join(" ")
}

/// `X`, `X.Read` and `X.Write`: three names of which none implies another.
const READ_WRITE: &[&str] = &["", ".Read", ".Write"];
const READ: &[&str] = &["", ".Read"];
const ALONE: &[&str] = &[""];

const fn either(stems: &'static [&'static str], endings: &'static [&'static str]) -> Group {
    Group { stems, endings, available: Availability::Either }
}

const SEED: &[Seed] = &[
    Seed {
        name: "UiPath.Orchestrator",
        display_name: "Orchestrator API Access",
        groups: &[
            either(
                &[
                    "OR.Administration",
                    "OR.Assets",
                    "OR.Audit",
                    "OR.BackgroundTasks",
                    "OR.Buckets",
                    "OR.BusinessRules",
                    "OR.Execution",
                    "OR.Folders",
                    "OR.Hypervisor",
                    "OR.Jobs",
                    "OR.License",
                    "OR.Machines",
                    "OR.ML",
                    "OR.Monitoring",
                    "OR.Queues",
                    "OR.Robots",
                    "OR.Settings",
                    "OR.Tasks",
                    "OR.TestDataQueues",
                    "OR.TestSetExecutions",
                    "OR.TestSetSchedules",
                    "OR.TestSets",
                    "OR.Users",
                    "OR.Webhooks",
                ],
                READ_WRITE,
            ),
            either(&["OR.Analytics"], READ),
            either(&["OR.AutomationSolutions.Access", super::DEFAULT_SCOPE], ALONE),
        ],
    },
    Seed {
        name: "UiPath.PlatformManagement",
        display_name: "Platform Management API Access",
        groups: &[
            either(
                &[
                    "PM.Group",
                    "PM.License",
                    "PM.MessageTemplate",
                    "PM.OAuthApp",
                    "PM.RobotAccount",
                    "PM.Setting",
                    "PM.User",
                ],
                READ_WRITE,
            ),
            either(&["PM.Audit", "PM.UserLoginAttempt"], READ),
            either(&["PM.AuthSetting", "PM.OAuthAppSecret.Write", "PM.Security"], ALONE),
        ],
    },
    Seed {
        name: "UiPath.TestManager",
        display_name: "Test Manager API Access",
        groups: &[either(
            &[
                "TM.Attachments",
                "TM.CustomFieldDefinitions",
                "TM.CustomFieldValues",
                "TM.Defects",
                "TM.Projects",
                "TM.Requirements",
                "TM.TestCases",
                "TM.TestExecutions",
                "TM.TestSets",
                "TM.Users",
            ],
            READ_WRITE,
        )],
    },
    Seed {
        name: "UiPath.DocumentUnderstanding",
        display_name: "Document Understanding API Access",
        groups: &[either(
            &[
                "Du.Classification.Api",
                "Du.DataDeletion.Api",
                "Du.Digitization.Api",
                "Du.DocumentManager.Document",
                "Du.Extraction.Api",
                "Du.Validation.Api",
            ],
            ALONE,
        )],
    },
    Seed {
        name: "UiPath.DataFabric",
        display_name: "Data Fabric API Access",
        groups: &[either(&["DataFabric.Data.Read", "DataFabric.Data.Write", "DataFabric.Schema.Read"], ALONE)],
    },
    Seed {
        name: "UiPath.Maestro",
        display_name: "Maestro API Access",
        groups: &[
            either(&["PIMS.Process"], READ_WRITE),
            either(&["PIMS", "PIMS.Execution"], READ),
            either(&["PIMS.Default", "PIMS.Write"], ALONE),
        ],
    },
    Seed {
        name: "UiPath.Insights",
        display_name: "Insights API Access",
        groups: &[either(&["Insights", "Insights.RealTimeData"], ALONE)],
    },
    Seed {
        name: "UiPath.IntegrationService",
        display_name: "Integration Service API Access",
        groups: &[either(&["IS.Connections.Read", "IS.Connectors.Read"], ALONE)],
    },
    Seed {
        name: "UiPath.Apps",
        display_name: "Apps and agents on behalf of a user",
        groups: &[Group {
            stems: &["Apps.Read", "Apps.Write", "ConversationalAgents", "Traces.Api"],
            endings: ALONE,
            available: Availability::User,
        }],
    },
    Seed {
        name: "UiPath.AICenter",
        display_name: "AI Center API Access",
        groups: &[Group {
            stems: &["AI.Deployer", "AI.Helper", "AI.Trainer"],
            endings: &[".Read", ".Write"],
            available: Availability::Application,
        }],
    },
    Seed {
        name: "UiPath.IXP",
        display_name: "IXP API Access",
        groups: &[Group { stems: &["Ixp.ApiAccess"], endings: ALONE, available: Availability::Application }],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_scope_is_listed_twice() {
        let catalogue = Catalogue::seeded();
        let listed: usize = catalogue.resources().iter().map(|resource| resource.scopes.len()).sum();
        assert_eq!(listed, catalogue.by_scope.len());
    }

    #[test]
    fn every_scope_is_described_for_people() {
        let catalogue = Catalogue::seeded();
        let scopes: Vec<&Scope> = catalogue.resources().iter().flat_map(|resource| &resource.scopes).collect();
        let of = |name: &str| scopes.iter().find(|scope| scope.name == name).unwrap().description.as_str();
        assert_eq!(of("OR.TestSets"), "Read and change test sets");
        assert_eq!(of("OR.Jobs.Read"), "Read jobs");
        assert_eq!(of("OR.ML.Write"), "Change ML");
        assert_eq!(of("Du.Classification.Api"), "Use classification");
        assert_eq!(of("PIMS.Default"), "Use PIMS");
        assert_eq!(of("OR.Default"), "Act with the roles that you have in tenants and folders");
        assert!(scopes.iter().all(|scope| scope.description.split(' ').count() > 1));
    }

    #[test]
    fn a_scope_leads_to_its_resource_and_all_three_kinds_occur() {
        let catalogue = Catalogue::seeded();
        let of = |name| catalogue.find(name).map(|(resource, available)| (resource.name, available));
        assert_eq!(of("OR.Jobs.Read"), Some(("UiPath.Orchestrator", Availability::Either)));
        assert_eq!(of("AI.Deployer.Read"), Some(("UiPath.AICenter", Availability::Application)));
        assert_eq!(of("Apps.Read"), Some(("UiPath.Apps", Availability::User)));
        assert_eq!(of("OR.Nonsense"), None);
    }
}
