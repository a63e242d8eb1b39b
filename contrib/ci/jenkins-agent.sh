#!/bin/sh
# Starts a Jenkins agent whose own checkouts pass Access: git inherits the environment of the agent. The token is that of the agent's
# user: "access service-token add git.example.com", or CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET of the service. Every job on this
# agent can read it.
exec access run git.example.com -- java -jar agent.jar "$@"
