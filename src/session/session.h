/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two programs that sshd starts on a node: hidden commands of `teleport`, run as root (authorize) and as the user
 * who logs in (session). Both send requests to the SSH Service of this machine over its abstract Unix socket, whose
 * other end must belong to root, and both fail closed: without an answer logins are denied and no command runs.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

/*
 * `teleport ssh-authorize --socket=NAME --connection=UUID LOGIN CERTIFICATE`: AuthorizedPrincipalsCommand of
 * sshd_config(5), with %u and %k. Prints the lines of an authorized_principals file, or nothing. Returns 0, or 1 after
 * a sentence on stderr, which sshd treats as a refusal.
 */
int session_authorize_main(int argc, char **argv);

/*
 * `teleport ssh-session --socket=NAME --connection=UUID`: ForceCommand, a separate program that sshd executes without a
 * shell (sshd_preload.h). It announces the session, waits until it may begin, runs the user's shell or command, and
 * sends terminal output to the recorder. Returns the exit code of the command, 128 plus the number of the signal that
 * ended it, or 255 if nothing was run.
 */
int session_main(int argc, char **argv);

#endif
