// Command edge drags native code in through another package.
package main

import _ "gridpost/edge/internal/x"

func main() {}
