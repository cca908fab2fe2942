// What a Go program does in a sandbox without network: goroutines, files, a child process, a Unix
// socket pair of listener and client.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
)

func main() {
	var wait sync.WaitGroup
	results := make([]int, 8)
	for i := range results {
		wait.Add(1)
		go func() { defer wait.Done(); results[i] = i * i }()
	}
	wait.Wait()
	sum := 0
	for _, r := range results {
		sum += r
	}
	fmt.Println("sum", sum)

	out, err := exec.Command("/bin/echo", "child").Output()
	fmt.Printf("%s%v\n", out, err)

	process, err := os.StartProcess("/bin/sleep", []string{"sleep", "60"}, &os.ProcAttr{})
	if err == nil {
		err = process.Kill()
	}
	state, waitErr := process.Wait()
	fmt.Println("killed", err, waitErr, state)

	path := os.TempDir() + "/go.sock"
	listener, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() {
		connection, _ := listener.Accept()
		connection.Write([]byte("hello"))
		connection.Close()
	}()
	connection, err := net.Dial("unix", path)
	buffer := make([]byte, 5)
	if err == nil {
		_, err = connection.Read(buffer)
	}
	fmt.Println(string(buffer), err)

	_, err = net.Listen("tcp", "127.0.0.1:0")
	fmt.Println("tcp", err != nil)
}
