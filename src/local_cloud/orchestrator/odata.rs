//! Query options of OData 4, and the pages that they cut from a collection.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::filter::{Filter, kind_at};
use super::path::shortened;
use super::schema::{self, Kind, Schema};

/// The largest `$top`, as Orchestrator's own description says.
const LARGEST_TOP: usize = 1000;
/// How many members `$orderby` may name, as Orchestrator's own description says.
const MOST_ORDERS: usize = 5;

/// What a collection or an entity is made of.
#[derive(Clone, Copy, Debug)]
pub struct Entity {
    /// Its name in `@odata.context`.
    pub name: &'static str,
    /// Its members.
    pub schema: Schema,
    /// The members that are there only if `$expand` asks for them.
    pub expandable: &'static [&'static str],
}

/// The query of a request.
#[derive(Debug, Default)]
pub struct Query {
    /// Every parameter, in the order of its name.
    parameters: BTreeMap<String, String>,
}

impl Query {
    /// Reads the query part of a URL.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        const KNOWN: &[&str] = &["$expand", "$filter", "$select", "$orderby", "$top", "$skip", "$count"];
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            if name.starts_with('$') && !KNOWN.contains(&name.as_ref()) {
                return Err(Refusal::query(format!("There is no option '{}'.", shortened(&name))));
            }
            if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(Refusal::query(format!("'{}' occurs more than once.", shortened(&name))));
            }
        }
        Ok(Self { parameters })
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let read = |text: &str| {
            text.parse::<i32>()
                .ok()
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(|| Refusal::query(format!("The value of {name} is not a number that can be used.")))
        };
        self.get(name).map(read).transpose()
    }

    /// Whether `$expand` names this member.
    pub fn expands(&self, name: &str) -> bool {
        self.get("$expand").is_some_and(|names| names.split(',').any(|other| other.trim() == name))
    }

    /// The page of `items`, which are in their natural order; `row` makes an entity with everything that could be
    /// expanded. Without a condition and an order only those on the page are made.
    pub fn page<T>(
        &self,
        entity: Entity,
        items: &[T],
        row: impl Fn(&T) -> Value,
        (url, largest): (&str, usize),
    ) -> Result<Value, Refusal> {
        let (top, skip) = (self.number("$top")?, self.number("$skip")?.unwrap_or(0));
        if top.is_some_and(|top| top > LARGEST_TOP) {
            return Err(Refusal::query(format!("The limit of '{LARGEST_TOP}' for Top query has been exceeded.")));
        }
        let counted = match self.get("$count") {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(Refusal::query("$count is true or false.")),
        };
        let view = View::read(self, entity)?;
        let wanted = top.unwrap_or(usize::MAX).min(largest);
        let (total, rows): (usize, Vec<Value>) = match self.selection(entity, items, &row)? {
            Some(rows) => (rows.len(), rows.into_iter().skip(skip).take(wanted).collect()),
            None => (items.len(), items.iter().skip(skip).take(wanted).map(row).collect()),
        };
        let taken = rows.len();
        let mut page = Map::new();
        page.insert("@odata.context".to_owned(), context(url, entity.name).into());
        if counted {
            page.insert("@odata.count".to_owned(), total.into());
        }
        page.insert("value".to_owned(), rows.into_iter().map(|row| view.of(row)).collect());
        let left = top.map(|top| top - taken);
        if skip + taken < total && left != Some(0) {
            page.insert("@odata.nextLink".to_owned(), self.next_link(url, skip + taken, left).into());
        }
        Ok(Value::Object(page))
    }

    /// The entities that meet the condition in the order asked for; `None` if neither is asked for.
    fn selection<T>(
        &self,
        entity: Entity,
        items: &[T],
        row: impl Fn(&T) -> Value,
    ) -> Result<Option<Vec<Value>>, Refusal> {
        if self.get("$filter").is_none() && self.get("$orderby").is_none() {
            return Ok(None);
        }
        let filter = self.get("$filter").map(|text| Filter::read(text, entity.schema)).transpose()?;
        let admitted = |row: &Value| filter.as_ref().is_none_or(|filter| filter.admits(row));
        let mut rows: Vec<Value> = items.iter().map(row).filter(admitted).collect();
        self.order(entity, &mut rows)?;
        Ok(Some(rows))
    }

    /// One entity, which comes with everything that could be expanded.
    pub fn entity(&self, entity: Entity, row: Value, url: &str) -> Result<Value, Refusal> {
        let collection_only = ["$filter", "$orderby", "$top", "$skip", "$count"];
        if let Some(name) = collection_only.into_iter().find(|name| self.get(name).is_some()) {
            return Err(Refusal::query(format!("{name} is for collections.")));
        }
        let mut answer = json!({ "@odata.context": format!("{}/$entity", context(url, entity.name)) });
        if let (Value::Object(answer), Value::Object(row)) = (&mut answer, View::read(self, entity)?.of(row)) {
            answer.extend(row);
        }
        Ok(answer)
    }

    fn order(&self, entity: Entity, rows: &mut [Value]) -> Result<(), Refusal> {
        let Some(text) = self.get("$orderby") else { return Ok(()) };
        let orders = text.split(',').map(|order| Order::read(order, entity.schema)).collect::<Result<Vec<_>, _>>()?;
        if orders.len() > MOST_ORDERS {
            return Err(Refusal::query(format!("$orderby names more than {MOST_ORDERS} properties.")));
        }
        rows.sort_by(|one, other| {
            orders.iter().map(|order| order.compare(one, other)).find(|found| found.is_ne()).unwrap_or(Ordering::Equal)
        });
        Ok(())
    }

    fn next_link(&self, url: &str, skip: usize, top: Option<usize>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.parameters {
            if name != "$skip" && name != "$top" {
                query.append_pair(name, value);
            }
        }
        if let Some(top) = top {
            query.append_pair("$top", &top.to_string());
        }
        query.append_pair("$skip", &skip.to_string());
        // A plus sign for a space is a form's way of writing; a URL's is %20.
        format!("{url}?{}", query.finish().replace('+', "%20"))
    }
}

/// What is shown of an entity.
struct View {
    hidden: Vec<&'static str>,
    selected: Option<Vec<String>>,
}

impl View {
    fn read(query: &Query, entity: Entity) -> Result<Self, Refusal> {
        let names = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
        let expanded = query.get("$expand").map(names).unwrap_or_default();
        if let Some(name) = expanded.iter().find(|name| !entity.expandable.contains(&name.as_str())) {
            return Err(Refusal::query(format!("'{}' cannot be expanded.", shortened(name))));
        }
        let selected = query.get("$select").map(names).filter(|names| !names.iter().any(|name| name == "*"));
        let unknown = selected.iter().flatten().find(|name| schema::find(entity.schema, name).is_none());
        if let Some(name) = unknown {
            return Err(Refusal::query(format!("Could not find a property named '{}'.", shortened(name))));
        }
        let hidden = entity.expandable.iter().copied().filter(|name| !expanded.iter().any(|other| other == name));
        Ok(Self { hidden: hidden.collect(), selected })
    }

    fn of(&self, row: Value) -> Value {
        let Value::Object(mut row) = row else { return row };
        row.retain(|name, _| {
            let selected = self.selected.as_ref().is_none_or(|names| names.iter().any(|other| other == name));
            selected && !self.hidden.contains(&name.as_str())
        });
        Value::Object(row)
    }
}

struct Order {
    path: Vec<String>,
    descending: bool,
}

impl Order {
    fn read(text: &str, schema: Schema) -> Result<Self, Refusal> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let descending = match (words.next(), words.next()) {
            (None | Some("asc"), None) => false,
            (Some("desc"), None) => true,
            _ => return Err(Refusal::query("$orderby is not understood.")),
        };
        let path: Vec<String> = name.split('/').map(str::to_owned).collect();
        match kind_at(schema, &path) {
            None | Some(Kind::Object(_) | Kind::AnyObject | Kind::List(_)) => {
                Err(Refusal::query(format!("$orderby cannot use '{}'.", shortened(name))))
            }
            Some(_) => Ok(Self { path, descending }),
        }
    }

    fn compare(&self, one: &Value, other: &Value) -> Ordering {
        let of = |row: &Value| self.path.iter().try_fold(row, |value, name| value.get(name)).cloned();
        let order = match (of(one), of(other)) {
            (Some(Value::String(one)), Some(Value::String(other))) => one.cmp(&other),
            (Some(Value::Bool(one)), Some(Value::Bool(other))) => one.cmp(&other),
            (Some(one), Some(other)) => one.as_i64().cmp(&other.as_i64()),
            (one, other) => one.is_some().cmp(&other.is_some()),
        };
        if self.descending { order.reverse() } else { order }
    }
}

/// `url` is the address of the request; everything up to `/odata` is the service.
fn context(url: &str, name: &str) -> String {
    let service = url.find("/odata/").map_or(url, |at| &url[..at]);
    format!("{service}/odata/$metadata#{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTITY: Entity = Entity { name: "Roles", schema: schema::ROLE, expandable: &["Permissions"] };

    fn rows(count: i64) -> Vec<Value> {
        (0..count).map(|id| json!({ "Id": id, "Name": format!("role {:02}", count - id), "Permissions": [] })).collect()
    }

    fn page(query: &str, count: i64) -> Value {
        let url = "http://host/acme/T/orchestrator_/odata/Roles";
        Query::read(query).unwrap().page(ENTITY, &rows(count), Value::clone, (url, 10)).unwrap()
    }

    #[test]
    fn following_the_links_leads_through_everything_once() {
        let mut query = "$filter=Id%20ge%200&$orderby=Name%20desc&$top=25".to_owned();
        let mut seen = Vec::new();
        loop {
            let page = page(&query, 40);
            assert_eq!(page["@odata.count"], 40);
            seen.extend(page["value"].as_array().unwrap().iter().map(|row| row["Id"].as_i64().unwrap()));
            let Some(link) = page["@odata.nextLink"].as_str() else { break };
            query = link.split_once('?').unwrap().1.to_owned();
        }
        assert_eq!(seen, (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_says_only_what_was_asked_for() {
        let page = page("$select=Name&$count=false&$top=1", 3);
        assert_eq!(page["value"], json!([{ "Name": "role 03" }]));
        assert_eq!((page.get("@odata.count"), page.get("@odata.nextLink")), (None, None));
        assert_eq!(page["@odata.context"], "http://host/acme/T/orchestrator_/odata/$metadata#Roles");
    }

    #[test]
    fn expansions_are_there_only_if_asked_for() {
        assert_eq!(page("", 1)["value"][0].get("Permissions"), None);
        assert_eq!(page("$expand=Permissions", 1)["value"][0]["Permissions"], json!([]));
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for query in [
            "$top=-1",
            "$top=x",
            "$top=1001",
            "$skip=-1",
            "$skip=99999999999",
            "$count=maybe",
            "$expand=Nothing",
            "$select=Nothing",
            "$orderby=Nothing",
            "$orderby=Permissions",
            "$orderby=Name%20sideways",
            "$orderby=Id,Id,Id,Id,Id,Id",
            "$orderby=",
        ] {
            let page = Query::read(query).unwrap().page(ENTITY, &rows(1), Value::clone, ("", 10));
            assert!(page.is_err(), "{query}");
        }
        assert!(Query::read("$apply=x").is_err());
        assert!(Query::read("$top=1&$top=2").is_err());
    }
}
