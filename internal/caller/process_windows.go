package caller

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// lookup asks for the times, the image and the command line of the process. Windows keeps the number of a parent that has ended and
// may give it to another process: what started after its child is not its parent.
func lookup(pid int) Process {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return Process{}
	}
	defer windows.CloseHandle(h)
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return Process{}
	}
	if pid != os.Getpid() && pid == os.Getppid() && created.Nanoseconds() > ownStart() {
		return Process{}
	}
	p := Process{PID: pid, Start: fmt.Sprint(created.Nanoseconds())}
	path := make([]uint16, windows.MAX_LONG_PATH)
	n := uint32(len(path))
	if err := windows.QueryFullProcessImageName(h, 0, &path[0], &n); err == nil {
		p.Path = windows.UTF16ToString(path[:n])
		p.Name = programName(p.Path)
	}
	var basic windows.PROCESS_BASIC_INFORMATION
	if err := windows.NtQueryInformationProcess(h, windows.ProcessBasicInformation, unsafe.Pointer(&basic), uint32(unsafe.Sizeof(basic)), nil); err == nil {
		p.parent = int(basic.InheritedFromUniqueProcessId)
	}
	if line := commandLine(h); line != "" {
		p.Args = []string{line}
	}
	return p
}

func ownStart() int64 {
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user) != nil {
		return 1<<63 - 1
	}
	return created.Nanoseconds()
}

// commandLine is ProcessCommandLineInformation (Windows 8.1 and later): a UNICODE_STRING and the text behind it.
func commandLine(h windows.Handle) string {
	b := make([]uint64, 64<<10/8) // aligned as the structure wants to be
	if windows.NtQueryInformationProcess(h, windows.ProcessCommandLineInformation, unsafe.Pointer(&b[0]), uint32(len(b)*8), nil) != nil {
		return ""
	}
	return (*windows.NTUnicodeString)(unsafe.Pointer(&b[0])).String()
}
