//! Reports on the manual.

use serde::Serialize;

/// What `help` lists.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct TopicsReport {
    /// The pages, in reading order.
    pub topics: Vec<TopicRow>,
}

/// A page in the list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct TopicRow {
    /// Its name.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// The command that shows it.
    pub command: String,
}

/// A page of the manual.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct PageReport {
    /// Its name.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// Its text, in Markdown.
    pub markdown: String,
}
