//! Circles between files: from a file one can get back to it along what files use.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Package;

/// File -> file that it uses -> a path that shows it.
pub type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// Who uses whom within a package.
pub fn graph(package: &Package) -> Graph {
    let mut graph = Graph::new();
    for (at, module) in &package.modules {
        graph.entry(module.file.clone()).or_default().extend(package.uses(at));
    }
    graph
}

/// The circles, each as its edges (user, used, path). Files of two circles that meet are one circle.
pub fn circles(graph: &Graph) -> Vec<Vec<(&String, &String, &String)>> {
    let reach: BTreeMap<_, _> = graph.keys().map(|file| (file, reachable(graph, file))).collect();
    let mut done = BTreeSet::new();
    let mut circles = Vec::new();
    for file in graph.keys() {
        if !reach[file].contains(file) || done.contains(file) {
            continue;
        }
        let files = reach[file].iter().copied();
        let circle: BTreeSet<_> = files.filter(|other| reach[other].contains(file)).collect();
        let mut edges = Vec::new();
        for (user, uses) in graph.iter().filter(|(user, _)| circle.contains(user)) {
            let within = uses.iter().filter(|(used, _)| circle.contains(used));
            edges.extend(within.map(|(used, path)| (user, used, path)));
        }
        circles.push(edges);
        done.extend(circle);
    }
    circles
}

/// Files that can be reached by one edge or more.
fn reachable<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<_> = graph[from].keys().collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(graph.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    found
}
