package sshproxy

// IsBulk reports whether the connection beneath c was dialled by NewTransport.
func IsBulk(c *Conn) bool { return c.bulk != nil }

// MaxMessage is the longest payload of a message.
const MaxMessage = maxMessage

// AgentTime is how long an agent may take for an answer.
const AgentTime = agentTime
