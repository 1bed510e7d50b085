//! Search clauses, as Adobe's page on search features has them, without parentheses.

/// A search clause: alternatives of terms that must all hold.
#[derive(Debug, Default)]
pub(super) struct Clause {
    alternatives: Vec<Vec<Term>>,
}

#[derive(Debug)]
struct Term {
    is_negated: bool,
    /// In lower case, with anything between them: a value begins with the first and ends with the last.
    parts: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// The parts between its wildcards.
    Text(Vec<String>),
}

impl Clause {
    /// Reads a clause; an empty one takes everything.
    pub(super) fn of(text: &str) -> Result<Clause, String> {
        let mut clause = Clause::default();
        let mut tokens = tokens(text)?.into_iter();
        let mut terms = Vec::new();
        let (mut is_negated, mut operator) = (false, "CONTAINS".to_owned());
        for token in &mut tokens {
            match token {
                Token::Word(word) => match word.as_str() {
                    "AND" => {}
                    "OR" => clause.alternatives.push(std::mem::take(&mut terms)),
                    "NOT" => is_negated = true,
                    "MATCH" | "CONTAINS" | "BEGINS-WITH" | "ENDS-WITH" => operator = word,
                    _ => return Err(format!("search.clause: the sandbox does not know {word:?}")),
                },
                Token::Text(mut parts) => {
                    if !matches!(operator.as_str(), "MATCH" | "BEGINS-WITH") {
                        parts.insert(0, String::new());
                    }
                    if !matches!(operator.as_str(), "MATCH" | "ENDS-WITH") {
                        parts.push(String::new());
                    }
                    terms.push(Term { is_negated, parts });
                    (is_negated, operator) = (false, "CONTAINS".to_owned());
                }
            }
        }
        if !terms.is_empty() {
            clause.alternatives.push(terms);
        }
        Ok(clause)
    }

    /// Whether a value is wanted. Case does not count.
    pub(super) fn takes(&self, value: &str) -> bool {
        let value = value.to_lowercase();
        let mut alternatives = self.alternatives.iter();
        self.alternatives.is_empty() || alternatives.any(|terms| terms.iter().all(|term| term.takes(&value)))
    }
}

impl Term {
    fn takes(&self, value: &str) -> bool {
        self.matches(value) != self.is_negated
    }

    fn matches(&self, value: &str) -> bool {
        let [first, inner @ .., last] = &self.parts[..] else { return self.parts == [value] };
        let rest = value.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
        let after = |rest: &str, part: &String| rest.find(part.as_str()).map(|at| at + part.len());
        let mut parts = inner.iter();
        rest.is_some_and(|mut rest| {
            parts.all(|part| after(rest, part).map(|at| rest = &rest[at..]).is_some())
        })
    }
}

/// Words in upper case, and texts in single quotes.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        if sign.is_whitespace() {
            continue;
        }
        if sign == '\'' {
            let mut parts = vec![String::new()];
            loop {
                let (sign, is_plain) = match signs.next() {
                    None => return Err("search.clause: a quote is not closed".to_owned()),
                    Some('\'') => break,
                    Some('\\') => (signs.next(), true),
                    Some(sign) => (Some(sign), false),
                };
                match (sign, parts.last_mut()) {
                    (Some('*'), _) if !is_plain => parts.push(String::new()),
                    (Some(sign), Some(part)) => part.extend(sign.to_lowercase()),
                    (None, _) | (_, None) => return Err("search.clause: it breaks off".to_owned()),
                }
            }
            found.push(Token::Text(parts));
            continue;
        }
        let mut word = sign.to_string();
        while let Some(sign) = signs.next_if(|sign| !sign.is_whitespace() && *sign != '\'') {
            word.push(sign);
        }
        found.push(Token::Word(word.to_ascii_uppercase()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_takes_what_the_published_examples_say() {
        let takes = |clause: &str, value: &str| Clause::of(clause).expect("a clause").takes(value);
        for (clause, value, expected) in [
            ("", "anything", true),
            ("'home'", "My Home Page", true),
            ("MATCH 'home page'", "Home Page", true),
            ("MATCH 'home page'", "Home Pages", false),
            ("NOT CONTAINS 'home page'", "home page", false),
            ("CONTAINS 'a' AND CONTAINS 'b'", "a", false),
            ("CONTAINS 'home page' OR BEGINS-WITH 'landing'", "Landing 1", true),
            ("CONTAINS 'home page' OR BEGINS-WITH 'landing'", "a landing", false),
            ("ENDS-WITH 'x'", "yx", true),
            ("MATCH 'a*c'", "abc", true),
            ("MATCH 'a\\*c'", "abc", false),
            ("CONTAINS 'a\\*c'", "xa*cx", true),
            ("CONTAINS 'it\\'s'", "It's", true),
        ] {
            assert_eq!(takes(clause, value), expected, "{clause} of {value:?}");
        }
        for clause in ["'open", "(CONTAINS 'a')", "LIKE 'a'"] {
            assert!(Clause::of(clause).is_err(), "{clause}");
        }
    }
}
