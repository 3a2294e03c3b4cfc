package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
)

const (
	// workerUser is the system user that workers run as if the edge runs as root and the user exists.
	workerUser = "gridpost-worker"

	// fallbackID is the user and group ID of workers if the edge runs as root and workerUser does not
	// exist. 65520 to 65533 are given to nobody by Debian and systemd (systemd.io/UIDS-GIDS), and are
	// mapped in containers that have only 65536 IDs.
	fallbackID = 65521
)

// workerIDs returns the user and group IDs that workers change to; 0 for those of the edge, if it
// does not run as root and so cannot change them.
func workerIDs() (uid, gid int, err error) {
	if os.Geteuid() != 0 {
		return 0, 0, nil
	}
	u, err := user.Lookup(workerUser)
	if errors.As(err, new(user.UnknownUserError)) {
		return fallbackID, fallbackID, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("looking up the user %s: %w", workerUser, err)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err == nil && (uid <= 0 || gid <= 0) {
		err = errors.New("it is not an unprivileged user")
	}
	if err != nil {
		return 0, 0, fmt.Errorf("using the user %s: %w", workerUser, err)
	}
	return uid, gid, nil
}
