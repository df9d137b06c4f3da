/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of events. Names and codes are Teleport's if Teleport has the event, so that programs that read Teleport's log can
 * read this one; codes that begin with CT belong to this project.
 */
#include "audit/audit.h"

const struct audit_kind audit_instance_join = { "instance.join", "TJ002I" };
const struct audit_kind audit_instance_join_failed = { "instance.join", "TJ002E" };
const struct audit_kind audit_token_create = { "join_token.create", "TJT00I" };
const struct audit_kind audit_token_delete = { "join_token.delete", "CTJ01I" };
const struct audit_kind audit_cert_create = { "cert.create", "TC000I" };
const struct audit_kind audit_node_delete = { "node.delete", "CTN01I" };
const struct audit_kind audit_host_duplicate = { "instance.duplicate", "CTN02W" };
const struct audit_kind audit_cluster_init = { "cluster.init", "CTC01I" };
const struct audit_kind audit_log_expire = { "audit_log.expire", "CTA01I" };
const struct audit_kind audit_recordings_expire = { "session.recording.expire", "CTS03I" };
const struct audit_kind audit_ca_rotate = { "cert_authority.rotate", "CTC02I" };

const struct audit_kind audit_user_login = { "user.login", "T1000I" };
const struct audit_kind audit_user_login_failed = { "user.login", "T1000W" };
const struct audit_kind audit_web_session_end = { "user.web_session.end", "CTU01I" };
const struct audit_kind audit_app_session_end_early = { "user.app_session.end", "CTU02I" };
const struct audit_kind audit_auth_failed = { "auth", "T3007W" };
const struct audit_kind audit_user_create = { "user.create", "T1002I" };
const struct audit_kind audit_user_update = { "user.update", "T1003I" };
const struct audit_kind audit_user_delete = { "user.delete", "T1004I" };
const struct audit_kind audit_user_password_change = { "user.password_change", "T1005I" };
const struct audit_kind audit_mfa_add = { "mfa.add", "T1006I" };
const struct audit_kind audit_reset_password_token_create = { "reset_password_token.create", "T6000I" };
const struct audit_kind audit_role_create = { "role.created", "T9000I" };
const struct audit_kind audit_role_update = { "role.updated", "T9002I" };
const struct audit_kind audit_role_delete = { "role.deleted", "T9001I" };
const struct audit_kind audit_lock_create = { "lock.created", "TLK00I" };
const struct audit_kind audit_lock_delete = { "lock.deleted", "TLK01I" };

const struct audit_kind audit_app_create = { "app.create", "TAP03I" };
const struct audit_kind audit_app_update = { "app.update", "TAP04I" };
const struct audit_kind audit_app_delete = { "app.delete", "TAP05I" };
const struct audit_kind audit_app_server_delete = { "app_server.delete", "CTN03I" };

const struct audit_kind audit_session_rejected = { "session.rejected", "T1006W" };
const struct audit_kind audit_session_start = { "session.start", "T2000I" };
const struct audit_kind audit_session_leave = { "session.leave", "T2003I" };
const struct audit_kind audit_session_end = { "session.end", "T2004I" };
const struct audit_kind audit_session_upload = { "session.upload", "T2005I" };
const struct audit_kind audit_session_data = { "session.data", "T2006I" };
const struct audit_kind audit_session_connect = { "session.connect", "T2010I" };
const struct audit_kind audit_session_recording_access = { "session.recording.access", "T2012I" };
const struct audit_kind audit_session_recording_lost = { "session.recording.lost", "CTS01W" };
const struct audit_kind audit_app_session_chunk = { "app.session.chunk", "T2008I" };
const struct audit_kind audit_app_session_start = { "app.session.start", "T2007I" };
const struct audit_kind audit_app_session_end = { "app.session.end", "T2011I" };
const struct audit_kind audit_backup = { "backup", "CTB01I" };
const struct audit_kind audit_resize = { "resize", "T2002I" };
const struct audit_kind audit_exec = { "exec", "T3002I" };
const struct audit_kind audit_exec_failed = { "exec", "T3002E" };
const struct audit_kind audit_port = { "port", "T3003I" };
const struct audit_kind audit_port_failed = { "port", "T3003E" };
const struct audit_kind audit_client_disconnect = { "client.disconnect", "T3006I" };

/* One row per operation on files. */
static const struct {
        struct str action;
        struct audit_kind done, failed;
} file_kinds[] = {
#define SFTP(action, number) { STR_INIT(action), { "sftp", "TS0" number "I" }, { "sftp", "TS0" number "E" } }
        SFTP("open", "01"),
        SFTP("close", "02"),
        SFTP("read", "03"),
        SFTP("write", "04"),
        SFTP("lstat", "05"),
        SFTP("fstat", "06"),
        SFTP("setstat", "07"),
        SFTP("fsetstat", "08"),
        SFTP("opendir", "09"),
        SFTP("readdir", "10"),
        SFTP("remove", "11"),
        SFTP("mkdir", "12"),
        SFTP("rmdir", "13"),
        SFTP("realpath", "14"),
        SFTP("stat", "15"),
        SFTP("rename", "16"),
        SFTP("readlink", "17"),
        SFTP("symlink", "18"),
        SFTP("link", "19"),
#undef SFTP
        { STR_INIT("download"), { "scp", "T3004I" }, { "scp", "T3004E" } },
        { STR_INIT("upload"), { "scp", "T3005I" }, { "scp", "T3005E" } },
};

static const struct audit_kind sftp_other = { "sftp", "CTS02I" }, sftp_other_failed = { "sftp", "CTS02E" };

const struct audit_kind *audit_file_kind(struct str action, bool is_failure)
{
        for (size_t i = 0; i < ARRAY_LEN(file_kinds); i++)
                if (str_equal(action, file_kinds[i].action))
                        return is_failure ? &file_kinds[i].failed : &file_kinds[i].done;
        return is_failure ? &sftp_other_failed : &sftp_other;
}
