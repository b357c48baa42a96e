//! A value of a row, as an INSERT writes it.

use super::catalog::Column;
use crate::db::place::Place;

/// A column of a row with its value.
pub(super) struct Cell<'a> {
    pub column: &'a Column,
    pub place: Place,
    pub input: Input,
}

/// The form of a value in an INSERT.
pub(super) enum Input {
    /// A parameter that is bound as text and cast to the column's type.
    Bound(Option<String>),
    /// An SQL expression.
    Expression(String),
}

impl Cell<'_> {
    /// The SQL of the value. `parameter` is the number of its parameter, if it has one.
    pub fn sql(&self, parameter: usize) -> String {
        match &self.input {
            Input::Bound(_) => format!("${parameter}::text::{}", self.column.base_type),
            // The line break ends a comment that the expression may end with.
            Input::Expression(expression) => format!("({expression}\n)"),
        }
    }

    pub fn bound(&self) -> Option<&Option<String>> {
        match &self.input {
            Input::Bound(text) => Some(text),
            Input::Expression(_) => None,
        }
    }
}
