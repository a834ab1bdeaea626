//! Aliases that lead to one another: in which order they can be made, and which never end.

/// The order in which each comes behind all that it leads to; those that never end are not in it.
/// `edges` has, for each, the numbers of those that it leads to.
pub(super) fn order(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut leading_to = vec![Vec::new(); edges.len()];
    let mut open: Vec<_> = edges.iter().map(Vec::len).collect();
    for (from, targets) in edges.iter().enumerate() {
        for to in targets {
            if let Some(list) = leading_to.get_mut(*to) {
                list.push(from);
            }
        }
    }
    let mut order: Vec<_> =
        open.iter().enumerate().filter(|(_, count)| **count == 0).map(|(at, _)| at).collect();
    let mut next = 0;
    while let Some(at) = order.get(next).copied() {
        next += 1;
        for from in leading_to.get(at).into_iter().flatten() {
            if let Some(count) = open.get_mut(*from) {
                *count -= 1;
                if *count == 0 {
                    order.push(*from);
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_come_first_and_circles_never() {
        // 0 → 1 → 2; 3 → 4 → 3; 5 → 3 and 2; 6 → 6.
        let edges = [vec![1], vec![2], vec![], vec![4], vec![3], vec![3, 2], vec![6]];
        assert_eq!(order(&edges), [2, 1, 0]);
        assert_eq!(order(&[]), Vec::<usize>::new());
    }
}
