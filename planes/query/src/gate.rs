//! What may be asked: one SELECT over named tables. Everything else is refused before it is planned.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, Query, SetExpr, Statement, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;

use crate::error::QueryError;

/// Longest question, in bytes.
pub const MAX_SQL_BYTES: usize = 16 << 10;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;

/// Parses a question, refuses what is none, and lets columns with dots in their names go without
/// quotes.
pub(crate) fn admit(sql: &str, columns: &BTreeSet<String>) -> Result<DfStatement, QueryError> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(QueryError::Refused(format!("it has {} bytes of SQL", sql.len())));
    }
    let dialect = GenericDialect {};
    let mut parser = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .with_recursion_limit(MAX_DEPTH)
        .build()
        .map_err(|error| QueryError::Invalid(error.strip_backtrace()))?;
    let mut statements =
        parser.parse_statements().map_err(|error| QueryError::Invalid(error.strip_backtrace()))?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(QueryError::Refused("it is not one statement".to_owned()));
    };
    let DfStatement::Statement(mut statement) = statement else {
        return Err(QueryError::Refused("it does not only read".to_owned()));
    };
    if !matches!(*statement, Statement::Query(_)) {
        return Err(QueryError::Refused("it does not only read".to_owned()));
    }
    let mut gate = Gate { columns };
    if let ControlFlow::Break(reason) = statement.visit(&mut gate) {
        return Err(QueryError::Refused(reason));
    }
    Ok(DfStatement::Statement(statement))
}

struct Gate<'a> {
    columns: &'a BTreeSet<String>,
}

impl VisitorMut for Gate<'_> {
    type Break = String;

    fn pre_visit_statement(&mut self, statement: &mut Statement) -> ControlFlow<String> {
        if matches!(statement, Statement::Query(_)) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break("it does not only read".to_owned())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return ControlFlow::Break("WITH RECURSIVE may not end".to_owned());
        }
        if !query.locks.is_empty() || query.settings.is_some() || query.format_clause.is_some() {
            return ControlFlow::Break("it asks for more than rows".to_owned());
        }
        body(&query.body)
    }

    /// What is grouped by twice is grouped by once: the planner fails at such groups.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        once(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { name, args: None, .. } if name.0.len() == 1 => {
                ControlFlow::Continue(())
            }
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => {
                ControlFlow::Continue(())
            }
            TableFactor::Table { args: None, .. } => {
                ControlFlow::Break("a table's name has no schema before it".to_owned())
            }
            _ => ControlFlow::Break("functions cannot be used as tables".to_owned()),
        }
    }

    /// `source.address` is the column of that name where there is one, also behind a table's name.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        if let Expr::CompoundIdentifier(parts) = expr {
            let named = |parts: &[Ident]| {
                let name: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
                Some(name.join(".")).filter(|name| self.columns.contains(name))
            };
            if let Some(name) = named(parts) {
                *expr = Expr::Identifier(Ident::with_quote('"', name));
            } else if parts.len() > 2
                && let Some(name) = named(&parts[1..])
            {
                let table = parts[0].clone();
                *expr = Expr::CompoundIdentifier(vec![table, Ident::with_quote('"', name)]);
            }
        }
        ControlFlow::Continue(())
    }
}

fn body(body: &SetExpr) -> ControlFlow<String> {
    match body {
        SetExpr::Select(select) if select.into.is_some() => {
            ControlFlow::Break("SELECT INTO writes".to_owned())
        }
        SetExpr::SetOperation { left, right, .. } => {
            self::body(left)?;
            self::body(right)
        }
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        _ => ControlFlow::Break("it does not only read".to_owned()),
    }
}

fn once(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            if let GroupByExpr::Expressions(groups, modifiers) = &mut select.group_by
                && modifiers.is_empty()
            {
                let mut kept: Vec<Expr> = Vec::with_capacity(groups.len());
                groups.drain(..).for_each(|group| {
                    if !kept.contains(&group) {
                        kept.push(group);
                    }
                });
                *groups = kept;
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            once(left);
            once(right);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_grouped_by_twice_is_grouped_by_once() {
        let sql = "SELECT n, count(*) FROM f GROUP BY n, source.address, n, \"source.address\"";
        let text = admit(sql, &columns()).expect("admitted").to_string();
        assert_eq!(text, "SELECT n, count(*) FROM f GROUP BY n, \"source.address\"");
    }

    fn columns() -> BTreeSet<String> {
        ["source.address", "n"].map(str::to_owned).into()
    }

    #[test]
    fn a_select_passes_and_its_columns_need_no_quotes() {
        let admitted = admit("SELECT source.address, f.source.address FROM flows f", &columns());
        let text = admitted.expect("admitted").to_string();
        assert_eq!(text, "SELECT \"source.address\", f.\"source.address\" FROM flows f");
    }

    #[test]
    fn nothing_else_passes() {
        for sql in [
            "",
            ";",
            "SELECT 1; SELECT 2",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "SET datafusion.catalog.information_schema = true",
            "SHOW TABLES",
            "CREATE TABLE t AS SELECT 1",
            "CREATE VIEW v AS SELECT 1",
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
            "COPY (SELECT 1) TO '/tmp/x'",
            "COPY flows TO '/tmp/x.csv'",
            "INSERT INTO flows VALUES (1)",
            "DELETE FROM flows",
            "UPDATE flows SET n = 1",
            "DROP TABLE flows",
            "SELECT * INTO t FROM flows",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
            "SELECT * FROM generate_series(1, 10)",
            "SELECT * FROM read_parquet('/etc/passwd')",
            "SELECT * FROM information_schema.tables",
            "SELECT * FROM datafusion.public.flows",
            "SELECT * FROM unnest([1, 2])",
            "SELECT (SELECT 1 FROM information_schema.columns)",
            "SELECT 1 WHERE EXISTS (SELECT * FROM a.b)",
            "SELECT * FROM (SELECT * FROM x.y) t",
            "DESCRIBE flows",
            "PREPARE p AS SELECT 1",
            "BEGIN",
            "USE other",
        ] {
            assert!(admit(sql, &columns()).is_err(), "{sql}");
        }
        let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(admit(&deep, &columns()).is_err());
        assert!(admit(&format!("SELECT '{}'", "x".repeat(MAX_SQL_BYTES)), &columns()).is_err());
    }
}
