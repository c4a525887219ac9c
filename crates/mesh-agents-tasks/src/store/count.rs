//! How many tasks a list has on all its pages.

use mesh_agents_core::principal::Principal;
use rusqlite::{Connection, ToSql, params_from_iter};

use super::StoreError;
use super::read::filters;
use super::rows::state_number;
use crate::api::{COUNTED, ListTasks};

/// How many tasks match the query, whatever its page. By agent, principal and state from the counts
/// the database keeps; else counted one by one, up to [`COUNTED`].
pub(crate) fn total(
    db: &Connection,
    principal: &Principal,
    query: &ListTasks,
) -> Result<u64, StoreError> {
    let kept = query.context_id.is_none()
        && query.since.is_none()
        && !matches!(principal, Principal::Task(_));
    if kept {
        return kept_total(db, principal, query);
    }
    let (wheres, mut values) = filters(principal, query);
    values.push(Box::new(i64::try_from(COUNTED).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE {} LIMIT ?)",
        wheres.join(" AND ")
    );
    one(db, &sql, &values)
}

fn kept_total(
    db: &Connection,
    principal: &Principal,
    query: &ListTasks,
) -> Result<u64, StoreError> {
    let mut sql = "SELECT coalesce(sum(tasks), 0) FROM task_counts WHERE 1".to_owned();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut filter = |condition: &str, value: Box<dyn ToSql>| {
        sql.push_str(condition);
        values.push(value);
    };
    if *principal != Principal::Local {
        filter(" AND principal = ?", Box::new(principal.to_string()));
    }
    if let Some(agent) = &query.agent_id {
        filter(" AND agent_id = ?", Box::new(agent.to_string()));
    }
    if let Some(state) = query.state {
        filter(" AND state = ?", Box::new(state_number(state)));
    }
    one(db, &sql, &values)
}

fn one(db: &Connection, sql: &str, values: &[Box<dyn ToSql>]) -> Result<u64, StoreError> {
    let values = params_from_iter(values.iter().map(|value| &**value));
    Ok(db
        .prepare_cached(sql)?
        .query_row(values, |row| row.get(0))?)
}
