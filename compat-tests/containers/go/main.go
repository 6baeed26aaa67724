// Starts the image through the Kafka module, and uses what it gives: containers CASE IMAGE
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/kafka"
)

const (
	stopLimit      = 3 * time.Second
	otherClusterID = "b3R0bGEtY29udGFpbmVycw"
)

func main() {
	name, image := os.Args[1], os.Args[2]
	ctx, cancel := context.WithTimeout(context.Background(), 110*time.Second)
	defer cancel()
	if err := use(ctx, name, image); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func use(ctx context.Context, name, image string) (err error) {
	options := []testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(log.New(io.Discard, "", 0)),
	}
	if name == "cluster-id" {
		options = append(options, kafka.WithClusterID(otherClusterID))
	}
	container, err := kafka.Run(ctx, image, options...)
	ready := time.Now()
	defer func() {
		if err != nil && container != nil {
			printLogs(ctx, container)
			err = errors.Join(err, testcontainers.TerminateContainer(container))
		}
	}()
	if err != nil {
		return err
	}
	if err := printStart(ctx, container, ready); err != nil {
		return err
	}
	brokers, err := container.Brokers(ctx)
	if err != nil {
		return err
	}
	client, err := connect(brokers)
	if err != nil {
		return err
	}
	defer client.Close()
	if name == "cluster-id" && container.ClusterID != otherClusterID {
		return fmt.Errorf("the module says cluster id %q, set was %q", container.ClusterID, otherClusterID)
	}
	if err := checkClusterID(ctx, client, container.ClusterID); err != nil {
		return err
	}
	if err := exchange(ctx, client, brokers, "records"); err != nil {
		return err
	}
	return stop(ctx, container)
}

func printStart(ctx context.Context, container *kafka.KafkaContainer, ready time.Time) error {
	state, err := container.State(ctx)
	if err != nil {
		return err
	}
	started, err := time.Parse(time.RFC3339Nano, state.StartedAt)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "ready after %d ms\n", ready.Sub(started).Milliseconds())
	return nil
}

// stop asks as a user does, with the ten seconds the module grants before it kills.
func stop(ctx context.Context, container *kafka.KafkaContainer) error {
	asked := time.Now()
	if err := container.Terminate(ctx); err != nil {
		return err
	}
	taken := time.Since(asked)
	fmt.Fprintf(os.Stderr, "stopped after %d ms\n", taken.Milliseconds())
	if taken > stopLimit {
		return fmt.Errorf("it took %v to stop", taken)
	}
	if state, err := container.State(ctx); err == nil {
		return fmt.Errorf("the container is still there, %s", state.Status)
	}
	return nil
}

func printLogs(ctx context.Context, container *kafka.KafkaContainer) {
	if logs, err := container.Logs(ctx); err == nil {
		io.Copy(os.Stderr, logs)
		logs.Close()
	}
}
