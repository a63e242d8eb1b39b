package main

// A cost is what one event asks of the service: requests to the application's own
// hosts, which the edge answers, and to the identity endpoints of the team (the team
// domain, and the host that hands tokens over).
type cost struct{ Edge, Identity int }

// What events cost, beside the requests that git and ssh make for themselves. They
// are counted by TestCosts, and fail it when a change of the client changes them.
var (
	firstLogin   = cost{Edge: 2, Identity: 2} // a person logs in to the team, in a browser
	nextApp      = cost{Edge: 3, Identity: 1} // another application, by the team's session
	oauthLogin   = cost{Edge: 3, Identity: 3} // a person logs in with Managed OAuth
	oauthRefresh = cost{Edge: 0, Identity: 1} // an access token has ended
	check        = cost{Edge: 1, Identity: 0} // a session is tried, at most once in five minutes for each host
	warm         = cost{Edge: 0, Identity: 0} // everything else
	serviceToken = cost{Edge: 0, Identity: 0} // a job of CI
)
