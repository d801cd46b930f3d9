//! `ORDER BY 2`, and `ORDER BY` what a `SELECT DISTINCT` computes: the planner writes out what is selected once more and
//! does not find it again where its types have been settled, so both are called by a name.

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Ident, OrderBy, OrderByKind, Query, SelectItem, SetExpr, Value,
};

/// Orders by names of what is selected.
pub(crate) fn by_name(query: &mut Query) {
    let Query {
        body, order_by: Some(OrderBy { kind: OrderByKind::Expressions(orders), .. }), ..
    } = query
    else {
        return;
    };
    let SetExpr::Select(select) = body.as_mut() else { return };
    let distinct = matches!(select.distinct, Some(Distinct::Distinct));
    let items = &mut select.projection;
    for order in orders {
        let by = &mut order.expr;
        let found = match ordinal(by) {
            // With a wildcard before it nobody knows which it is.
            Some(number) => number
                .checked_sub(1)
                .filter(|index| items.iter().take(*index).all(is_one) && *index < items.len()),
            None if distinct => {
                items.iter().position(|item| matches!(item, SelectItem::UnnamedExpr(e) if e == by))
            }
            None => None,
        };
        if let Some(name) = found.and_then(|index| name(items, index)) {
            *by = Expr::Identifier(name);
        }
    }
}

fn ordinal(by: &Expr) -> Option<usize> {
    let Expr::Value(value) = by else { return None };
    let Value::Number(number, _) = &value.value else { return None };
    number.to_string().parse().ok()
}

const fn is_one(item: &SelectItem) -> bool {
    matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
}

/// The name of an item that is computed, which has one after this.
fn name(items: &mut [SelectItem], index: usize) -> Option<Ident> {
    let SelectItem::UnnamedExpr(expr) = &items[index] else { return None };
    if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_)) {
        return None;
    }
    let alias = Ident::with_quote('"', expr.to_string().replace('"', ""));
    let known = items.iter().any(|item| match item {
        SelectItem::UnnamedExpr(Expr::Identifier(other))
        | SelectItem::ExprWithAlias { alias: other, .. } => other.value == alias.value,
        _ => false,
    });
    if known {
        return None;
    }
    let expr = expr.clone();
    items[index] = SelectItem::ExprWithAlias { expr, alias: alias.clone() };
    Some(alias)
}
