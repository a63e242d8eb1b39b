package lease

import "os"

const (
	openFlags   = os.O_CREATE | os.O_RDWR
	recordFlags = os.O_WRONLY
	readFlags   = os.O_RDONLY
)
