// Package paho stands for the real one.
package paho
