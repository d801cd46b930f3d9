//! What may be asked: one SELECT over named tables. Everything else is refused before it is planned.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, ObjectName, Query, SetExpr, Statement, TableFactor,
    Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;

use crate::error::QueryError;

/// Longest question, in bytes.
pub const MAX_SQL_BYTES: usize = 16 << 10;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Most tables that a question reads, each as often as it is named, also through names of `WITH`: the planner puts
/// what they stand for in their place, twice as much with each level that names the one before twice.
const MAX_TABLES: u64 = 256;
/// Most expressions of a CUBE: its sets double with each.
const MAX_CUBE: usize = 8;

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
    let mut size = Size::default();
    let too_large = match Visit::visit(&*statement, &mut size) {
        ControlFlow::Break(reason) => Some(reason),
        ControlFlow::Continue(()) => None,
    };
    if let Some(reason) = too_large {
        return Err(QueryError::Refused(reason));
    }
    let mut gate = Gate { columns };
    if let ControlFlow::Break(reason) = VisitMut::visit(&mut *statement, &mut gate) {
        return Err(QueryError::Refused(reason));
    }
    Ok(DfStatement::Statement(statement))
}

/// How much a question grows when it is planned.
#[derive(Default)]
struct Size {
    /// Tables of the queries that are open, the outermost first.
    tables: Vec<u64>,
    /// Where the queries of `WITH` stand, and what they are called.
    named: HashMap<usize, String>,
    /// What a name stands for, in tables; of names that are used twice the largest.
    of_name: HashMap<String, u64>,
}

impl Visitor for Size {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let place = std::ptr::from_ref::<Query>(&cte.query).addr();
            self.named.insert(place, cte.alias.name.value.to_lowercase());
        }
        self.tables.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let tables = self.tables.pop().unwrap_or_default();
        let place = std::ptr::from_ref::<Query>(query).addr();
        match self.named.remove(&place) {
            Some(name) => {
                let known = self.of_name.entry(name).or_insert(1);
                *known = (*known).max(tables);
            }
            None => {
                if let Some(outer) = self.tables.last_mut() {
                    *outer = outer.saturating_add(tables);
                }
            }
        }
        within(tables)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        let TableFactor::Table { name, .. } = factor else { return ControlFlow::Continue(()) };
        let name = name.to_string().trim_matches('"').to_lowercase();
        let tables = self.of_name.get(&name).copied().unwrap_or(1);
        let Some(open) = self.tables.last_mut() else { return ControlFlow::Continue(()) };
        *open = open.saturating_add(tables);
        within(*open)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            // A part of the question would have it as LIKE, which finds other texts.
            Expr::SimilarTo { .. } => ControlFlow::Break(
                "SIMILAR TO is not there; use ~ with a regular expression, such as '^ic(m|n)p$'"
                    .to_owned(),
            ),
            Expr::Cube(sets) if sets.len() > MAX_CUBE => {
                ControlFlow::Break(format!("CUBE has at most {MAX_CUBE} expressions"))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn within(tables: u64) -> ControlFlow<String> {
    match tables > MAX_TABLES {
        true => ControlFlow::Break(format!(
            "it reads more than {MAX_TABLES} tables, with what names of WITH stand for"
        )),
        false => ControlFlow::Continue(()),
    }
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
        crate::ordered::by_name(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { sample: Some(_), .. }
            | TableFactor::Derived { sample: Some(_), .. } => {
                ControlFlow::Break("TABLESAMPLE is not evaluated: every row counts".to_owned())
            }
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
        if let Expr::BinaryOp { op: BinaryOperator::StringConcat, left, right } = expr {
            let none = || Box::new(Expr::value(Value::Null));
            let ends = [left, right].map(|end| std::mem::replace(end, none()));
            *expr = joined(ends);
        }
        if let Expr::CompoundIdentifier(parts) = expr
            && let Some(column) = self.column(parts)
        {
            *expr = column;
        }
        if let Expr::CompoundFieldAccess { root, access_chain } = expr {
            self.accessed(root, access_chain);
        }
        ControlFlow::Continue(())
    }
}

impl Gate<'_> {
    /// The column that is called so, also behind a table's name.
    fn column(&self, parts: &[Ident]) -> Option<Expr> {
        let named = |parts: &[Ident]| {
            let name: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
            let name = Some(name.join(".")).filter(|name| self.columns.contains(name))?;
            Some(Ident::with_quote('"', name))
        };
        if let Some(column) = named(parts) {
            return Some(Expr::Identifier(column));
        }
        match parts {
            [table, name @ ..] if name.len() > 1 => {
                named(name).map(|column| Expr::CompoundIdentifier(vec![table.clone(), column]))
            }
            _ => None,
        }
    }

    /// `flow.mpls.labels[1]` begins with the longest name that is a column's.
    fn accessed(&self, root: &mut Box<Expr>, chain: &mut Vec<AccessExpr>) {
        let mut parts = match &**root {
            Expr::Identifier(first) => vec![first.clone()],
            Expr::CompoundIdentifier(parts) => parts.clone(),
            _ => return,
        };
        let before = parts.len();
        parts.extend(chain.iter().map_while(|next| match next {
            AccessExpr::Dot(Expr::Identifier(part)) => Some(part.clone()),
            _ => None,
        }));
        for end in (before..=parts.len()).rev() {
            if let Some(column) = self.column(&parts[..end]) {
                **root = column;
                chain.drain(..end - before);
                return;
            }
        }
    }
}

/// `a || b` as a function, whose results are bounded.
fn joined(ends: [Box<Expr>; 2]) -> Expr {
    call(crate::grown::JOINED, ends.map(|end| *end))
}

/// A function of SQL with these arguments.
pub(crate) fn call(name: &str, args: [Expr; 2]) -> Expr {
    let args = args.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    let list =
        FunctionArgumentList { duplicate_treatment: None, args: args.into(), clauses: Vec::new() };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
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

    #[test]
    fn names_that_stand_for_ever_more_tables_are_refused_before_they_are_planned() {
        let doubling = |levels: usize| {
            let mut sql = "WITH a0 AS (SELECT 1 AS x)".to_owned();
            for level in 1..=levels {
                let of = level - 1;
                sql += &format!(
                    ", A{level} AS (SELECT x FROM a{of} UNION ALL SELECT x FROM \"a{of}\")"
                );
            }
            sql + &format!(" SELECT count(*) FROM a{levels}")
        };
        assert!(admit(&doubling(8), &columns()).is_ok(), "256 tables");
        for levels in [9, 22, 200] {
            assert!(admit(&doubling(levels), &columns()).is_err(), "{levels}");
        }
        let nested = "SELECT * FROM (WITH b AS (SELECT n FROM f) SELECT * FROM b x, b y) t";
        assert!(admit(nested, &columns()).is_ok());
        let arms = |n: usize| vec!["SELECT n FROM f"; n].join(" UNION ALL ");
        assert!(admit(&arms(40), &columns()).is_ok());
        assert!(admit(&arms(300), &columns()).is_err());
        let within = format!("SELECT (SELECT count(*) FROM ({}) t)", arms(300));
        assert!(admit(&within, &columns()).is_err());
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
    fn a_value_of_a_list_is_of_the_column_of_that_name() {
        for (sql, expected) in [
            ("source.address[1]", "\"source.address\"[1]"),
            ("f.source.address[n][2]", "f.\"source.address\"[n][2]"),
            ("n[1].x", "\"n\"[1].x"),
            ("source.port[1]", "source.port[1]"),
        ] {
            let admitted = admit(&format!("SELECT {sql} FROM flows f"), &columns());
            let text = admitted.expect("admitted").to_string();
            assert_eq!(text, format!("SELECT {expected} FROM flows f"));
        }
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
            "SELECT * FROM flows TABLESAMPLE (10)",
            "SELECT * FROM flows WHERE n SIMILAR TO 'a|b'",
            "SELECT count(*) FROM flows GROUP BY CUBE (a, b, c, d, e, f, g, h, i)",
        ] {
            assert!(admit(sql, &columns()).is_err(), "{sql}");
        }
        let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(admit(&deep, &columns()).is_err());
        assert!(admit(&format!("SELECT '{}'", "x".repeat(MAX_SQL_BYTES)), &columns()).is_err());
    }
}
