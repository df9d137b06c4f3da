/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two programs that sshd starts on a node: hidden commands of `teleport`, run as root (authorize) and as
 * the user who logs in (session). Both ask the SSH Service of this machine over its abstract Unix socket,
 * whose other end must be root's, and both fail closed: without an answer logins are denied and nothing runs.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

/*
 * `teleport ssh-authorize --socket=NAME --connection=UUID LOGIN CERTIFICATE`: AuthorizedPrincipalsCommand of
 * sshd_config(5), with %u and %k. Prints the lines of an authorized_principals file, or nothing. Returns 0, or 1 after
 * a sentence on stderr, which sshd takes for a refusal.
 */
int session_authorize_main(int argc, char **argv);

/*
 * `teleport ssh-session --socket=NAME --connection=UUID`: ForceCommand, a program of its own that sshd executes without a
 * shell (sshd_preload.h). Announces the session, waits until it may
 * begin, runs the user's shell or command and shows the recorder what a terminal shows. Returns what the
 * command returned, 128 and the number of the signal that ended it, or 255 if nothing ran.
 */
int session_main(int argc, char **argv);

#endif
