// Package eprocess judges a candidate revision against stable while traffic flows: test
// supermartingales for counts of bad requests that may be looked at after every bucket,
// for as long as wanted, with one stated probability of a false alarm.
//
// # Why it is valid
//
// Requests are ordered by routing time. Each was given to the candidate with a
// probability rho that was fixed before its draw and ignores the request. Given that a
// request turned out bad, it was the candidate's with a probability of at most
//
//	theta0 = rho*r0 / (1 + rho*(r0-1))
//
// as long as the candidate is at most r0 times as bad as stable; stable's own rate cancels
// and may move as it likes. A bet of lambda > 1 on "it was the candidate's" then has a
// mean of at most 1, so by Ville's inequality the product of all bets ever reaches
// 1/alpha with probability at most alpha. Capping a bet, or averaging over lambdas, start
// times and judges, keeps that. The absolute tests replace theta0 by an allowed share p0
// of bad requests and need no randomisation.
//
// Order matters: applied as outcomes arrive, an outage of both revisions in which the
// candidate merely fails faster is blamed on it. Outcomes are therefore collected in
// buckets of routing time and applied bucket by bucket, when a bucket is complete.
//
// Everything stays in log space. Nothing here reads a clock, draws randomness or locks.
package eprocess
