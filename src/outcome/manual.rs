//! The manual.

use serde::Serialize;

/// What `help` lists.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct TopicsReport {
    /// The pages, in the order in which they are to be read.
    pub topics: Vec<TopicRow>,
}

/// A page in the list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct TopicRow {
    /// Its name.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// What to type to see it.
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
