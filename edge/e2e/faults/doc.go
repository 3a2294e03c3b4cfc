// Package faults runs Gridpost's programs as processes, injects faults into them and into what
// they depend on, and checks that nothing that was acknowledged is lost, doubled or wrong.
//
// A run has one hub and two edges: one with its embedded broker, one with a mosquitto outside.
// Simulated sensors publish with QoS 1 and publish again what is not acknowledged. A plan, made
// from a seed, injects two faults at a time: processes killed, stopped and restarted, network
// connections cut, delayed and half-open, full disks, damaged databases, wrong clocks. At the end
// all faults are removed, and the run compares what the hub has with what the edges acknowledged.
//
// The package knows the programs only by their commands, files and HTTP interface. It needs Linux;
// full disks need the right to mount a tmpfs (root, or sudo without a password).
package faults
