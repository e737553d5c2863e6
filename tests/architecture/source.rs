//! A package as its source names things: modules, what each defines and imports, and which paths it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A path as segments; one that starts with `crate` is absolute within its package.
pub type Segments = Vec<String>;

/// Re-exports of re-exports that are followed before a path counts as unresolved.
const MAX_REEXPORTS: usize = 8;

/// The modules of one package, by their path from the crate root: `src/http/token.rs` is `[http, token]`.
#[derive(Default)]
pub struct Package {
    pub modules: BTreeMap<Segments, Module>,
}

/// One module: a file, or an inline module of it.
#[derive(Default)]
pub struct Module {
    /// Path of the file, as given to [`Package::parse`].
    pub file: String,
    /// Names of the items that are defined here.
    items: BTreeSet<String>,
    /// Names that `use` brings in, with the paths that they stand for.
    imports: BTreeMap<String, Segments>,
    /// Modules that are imported by `use path::*`.
    globs: Vec<Segments>,
    /// Paths in code and in private imports, as written.
    written: BTreeSet<Segments>,
    /// Paths of `pub use`, of any visibility, as written.
    reexported: BTreeSet<Segments>,
    /// Method calls as (last name of the receiver, method).
    pub calls: BTreeSet<(String, String)>,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// To an item of this module, or to one that it must have since it has no such child.
    Item(Segments),
    /// To the module itself.
    Module(Segments),
    /// To another crate, or to a name that is local to a function.
    Outside(Segments),
}

impl Package {
    /// Reads the sources, given as (path from the package's `src/`, path to show, text). `name` is what binaries call the library.
    pub fn parse(name: &str, sources: &[(String, String, String)]) -> Self {
        let mut package = Self::default();
        let root = if sources.iter().any(|source| source.0 == "lib.rs") {
            "lib"
        } else {
            "main"
        };
        for (relative, shown, text) in sources {
            let mut at: Segments = Path::new(relative)
                .with_extension("")
                .iter()
                .map(|segment| segment.to_str().unwrap().to_owned())
                .collect();
            if at == [root] {
                at.clear();
            }
            let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{shown}: {error}"));
            let mut reader = Reader {
                package: &mut package,
                name,
                file: shown,
                at,
            };
            reader.module(&parsed.items);
        }
        package
    }

    /// Every path that a module names, absolute where it starts from the crate, an import or a child module.
    pub fn named(&self, at: &Segments) -> BTreeSet<Segments> {
        let module = &self.modules[at];
        let all = module.written.iter().chain(&module.reexported);
        all.map(|path| self.absolute(at, path)).collect()
    }

    /// The files that a module uses, each with one path that shows it. A re-export of a child is not a use of it.
    pub fn uses(&self, at: &Segments) -> BTreeMap<String, String> {
        let module = &self.modules[at];
        let is_own_child = |path: &&Segments| {
            let path = self.absolute(at, path);
            path.first().is_some_and(|first| first == "crate") && path[1..].starts_with(at)
        };
        let reexported = module.reexported.iter().filter(|path| !is_own_child(path));
        let mut files = BTreeMap::new();
        for path in module.written.iter().chain(reexported) {
            if let Target::Item(target) = self.target(at, path) {
                let file = &self.modules[&target].file;
                if *file != module.file {
                    files.insert(file.clone(), path.join("::"));
                }
            }
        }
        files
    }

    /// Where a path leads that the module `at` writes, with re-exports followed to the definition.
    pub fn target(&self, at: &Segments, path: &[String]) -> Target {
        let absolute = self.absolute(at, path);
        if absolute.first().is_some_and(|first| first == "crate") {
            return self.descend(Vec::new(), &absolute[1..], MAX_REEXPORTS);
        }
        match self.through_globs(at, &absolute, MAX_REEXPORTS) {
            Some(target) => target,
            None => Target::Outside(absolute),
        }
    }

    fn absolute(&self, at: &Segments, path: &[String]) -> Segments {
        let from = |at: &[String], rest: &[String]| [&["crate".to_owned()], at, rest].concat();
        let module = &self.modules[at];
        match path.first().map(String::as_str) {
            Some("crate") => path.to_vec(),
            Some("self") => from(at, &path[1..]),
            Some("super") => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                from(&at[..at.len().saturating_sub(ups)], &path[ups..])
            }
            Some(first) => match module.imports.get(first) {
                // `use crate::a; a::b()` names `crate::a::b`; an import never starts from itself.
                Some(import) if import.first() != path.first() => {
                    [self.absolute(at, import), path[1..].to_vec()].concat()
                }
                _ if module.items.contains(first) || self.modules.contains_key(&[at, &path[..1]].concat()) => {
                    from(at, path)
                }
                _ => path.to_vec(),
            },
            None => Vec::new(),
        }
    }

    fn descend(&self, mut at: Segments, path: &[String], depth: usize) -> Target {
        for (index, segment) in path.iter().enumerate() {
            let module = &self.modules[&at];
            let child = [at.as_slice(), std::slice::from_ref(segment)].concat();
            let is_last = index + 1 == path.len();
            let is_item = module.items.contains(segment);
            if self.modules.contains_key(&child) && !(is_last && is_item) {
                at = child;
                continue;
            }
            if is_item || depth == 0 {
                return Target::Item(at);
            }
            let rest = &path[index..];
            if module.imports.contains_key(segment) {
                let absolute = self.absolute(&at, rest);
                return match absolute.first().map(String::as_str) {
                    Some("crate") => self.descend(Vec::new(), &absolute[1..], depth - 1),
                    _ => Target::Outside(absolute),
                };
            }
            return self.through_globs(&at, rest, depth - 1).unwrap_or(Target::Item(at));
        }
        Target::Module(at)
    }

    /// The definition that a glob import of the module `at` brings in for the first segment.
    fn through_globs(&self, at: &Segments, path: &[String], depth: usize) -> Option<Target> {
        let (first, _) = path.split_first().filter(|_| depth > 0)?;
        self.modules[at].globs.iter().find_map(|glob| {
            let absolute = self.absolute(at, glob);
            let inside = absolute.first().is_some_and(|first| first == "crate");
            let Target::Module(module) = inside.then(|| self.descend(Vec::new(), &absolute[1..], depth - 1))? else {
                return None;
            };
            let has = &self.modules[&module];
            let child = [module.as_slice(), std::slice::from_ref(first)].concat();
            let known =
                has.items.contains(first) || has.imports.contains_key(first) || self.modules.contains_key(&child);
            if known {
                return Some(self.descend(module, path, depth - 1));
            }
            self.through_globs(&module, path, depth - 1)
        })
    }
}

struct Reader<'a> {
    package: &'a mut Package,
    name: &'a str,
    file: &'a str,
    at: Segments,
}

impl Reader<'_> {
    fn module(&mut self, items: &[syn::Item]) {
        let module = self.here();
        module.items = items.iter().filter_map(defined).collect();
        for item in items {
            self.visit_item(item);
        }
    }

    fn here(&mut self) -> &mut Module {
        let module = self.package.modules.entry(self.at.clone()).or_default();
        self.file.clone_into(&mut module.file);
        module
    }

    /// The library's own name is its root, as `main.rs` and tests write it.
    fn write(&mut self, mut path: Segments) {
        if path.first().is_some_and(|first| first == self.name) {
            "crate".clone_into(&mut path[0]);
        }
        self.here().written.insert(path);
    }

    fn import(&mut self, tree: &syn::UseTree, mut prefix: Segments, is_reexport: bool) {
        let (name, path) = match tree {
            syn::UseTree::Path(path) => {
                let is_own = prefix.is_empty() && path.ident == self.name;
                prefix.push(if is_own { "crate".to_owned() } else { plain(&path.ident) });
                return self.import(&path.tree, prefix, is_reexport);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, prefix.clone(), is_reexport);
                }
                return;
            }
            syn::UseTree::Glob(_) => {
                self.here().globs.push(prefix.clone());
                (None, prefix)
            }
            syn::UseTree::Name(name) if name.ident == "self" => (prefix.last().cloned(), prefix),
            syn::UseTree::Name(name) => {
                prefix.push(plain(&name.ident));
                (prefix.last().cloned(), prefix)
            }
            syn::UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    prefix.push(plain(&rename.ident));
                }
                (Some(plain(&rename.rename)), prefix)
            }
        };
        let module = self.here();
        if let Some(name) = name {
            module.imports.insert(name, path.clone());
        }
        let paths = if is_reexport {
            &mut module.reexported
        } else {
            &mut module.written
        };
        paths.insert(path);
    }

    /// Paths within a macro call or an attribute, which are tokens to the parser.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Segments = Vec::new();
        let (mut colons, mut after_dot) = (0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    if !after_dot {
                        path.push(plain(&ident));
                    }
                    (colons, after_dot) = (0, false);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Punct(punct) => {
                    self.end(&mut path);
                    (colons, after_dot) = (0, punct.as_char() == '.');
                }
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    (colons, after_dot) = (0, false);
                    self.tokens(group.stream());
                }
                // `#[serde(with = "crate::a::b")]` names a path as text.
                TokenTree::Literal(literal) => {
                    self.end(&mut path);
                    let text = literal.to_string();
                    let inner = text.trim_matches('"');
                    if inner.contains("::") && syn::parse_str::<syn::Path>(inner).is_ok() {
                        self.write(inner.split("::").map(|segment| segment.trim().to_owned()).collect());
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Segments) {
        if !path.is_empty() {
            self.write(std::mem::take(path));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if let Some((_, items)) = &item.content {
            self.at.push(plain(&item.ident));
            self.module(items);
            self.at.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, Vec::new(), is_reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.write(path.segments.iter().map(|segment| plain(&segment.ident)).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in path)` and `pub(super)` limit who may use an item; they use nothing.
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let receiver = match &*call.receiver {
            syn::Expr::Path(path) => path.path.segments.last().map(|segment| plain(&segment.ident)),
            syn::Expr::Field(syn::ExprField {
                member: syn::Member::Named(name),
                ..
            }) => Some(plain(name)),
            syn::Expr::MethodCall(inner) => Some(plain(&inner.method)),
            _ => None,
        };
        if let Some(receiver) = receiver {
            self.here().calls.insert((receiver, plain(&call.method)));
        }
        visit::visit_expr_method_call(self, call);
    }
}

fn plain(ident: &syn::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

/// The name that an item defines in its module; a `mod` counts as a child, not as an item.
fn defined(item: &syn::Item) -> Option<String> {
    let ident = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(plain(ident))
}
