package slipway

// Codes are stable: a code never changes its meaning and is never used again.
// E00xx general, E01xx platform.yaml, E02xx registry, E03xx pipeline, E04xx rollout,
// E05xx serving, E06xx server and gateway, E07xx audit log, E08xx keys and secrets,
// E09xx signing in, E10xx policies, E11xx backups and TLS, E12xx MLflow's API,
// E13xx runs and experiments, E14xx models of MLflow's clients.
// E09xx signing in, E10xx policies, E11xx backups and TLS, E12xx MLflow's API, E13xx runs
// and experiments, E16xx webhooks.
// E13xx runs and experiments, E14xx models of MLflow's clients,
// E17xx protected aliases, signatures and traces.
const (
	CodeInternal      = "SLIP-E0000"
	CodeInvalidName   = "SLIP-E0001"
	CodeInvalidDigest = "SLIP-E0002"
	CodeNotFound      = "SLIP-E0003"
	CodeConflict      = "SLIP-E0004"
	CodeUnauthorized  = "SLIP-E0005"
	CodeDenied        = "SLIP-E0006"
	CodeInvalid       = "SLIP-E0007"
	CodeUnavailable   = "SLIP-E0008"
	CodeTooLarge      = "SLIP-E0009"
	CodeIO            = "SLIP-E0010"
	CodePolicy        = "SLIP-E0011" // a policy of access cannot be used

	CodePolicyOpen  = "SLIP-E1001" // another change of the policies waits
	CodeLockout     = "SLIP-E1002" // a change of the policies would lock its owners out
	CodeFourEyes    = "SLIP-E1003" // another person has to decide
	CodeForbiddenTo = "SLIP-E1004" // the platform may not connect there

	CodeSpec       = "SLIP-E0101" // platform.yaml has mistakes
	CodeSpecPolicy = "SLIP-E0102" // platform.yaml loosens a policy of its tier

	CodeModelDir      = "SLIP-E0201" // not a usable model directory
	CodeModelFormat   = "SLIP-E0202" // a model file cannot be read
	CodeLegacyModel   = "SLIP-E0203" // XGBoost's legacy binary format
	CodeUploadDigest  = "SLIP-E0204" // bytes do not match their digest
	CodeUploadMissing = "SLIP-E0205" // a version names blobs that were not uploaded
	CodeVersionExists = "SLIP-E0206"
	CodeEnvironment   = "SLIP-E0207" // what a Python model requires cannot be installed
	CodeBuilder       = "SLIP-E0208" // this machine cannot build Python environments

	CodeGate        = "SLIP-E0301" // a check said fail
	CodeGateUnknown = "SLIP-E0302" // a check could not say
	CodeHoldout     = "SLIP-E0303" // the hold-out file cannot be used

	CodeRefused      = "SLIP-E0401" // this digest was rolled back here
	CodeRolledBack   = "SLIP-E0402"
	CodeInProgress   = "SLIP-E0403" // another deployment drives this endpoint
	CodeNoPrevious   = "SLIP-E0404" // nothing to roll back to
	CodeReplicaStart = "SLIP-E0405" // replicas never became ready
	CodeVetoed       = "SLIP-E0406" // the gateway vetoed this table

	CodeSchema      = "SLIP-E0501" // input does not fit the signature
	CodeRequest     = "SLIP-E0502" // the request cannot be read
	CodeNoReplica   = "SLIP-E0503" // no replica can answer
	CodeDeadline    = "SLIP-E0504"
	CodeWithdrawn   = "SLIP-E0505" // the endpoint was withdrawn
	CodeModelFailed = "SLIP-E0506" // the model itself failed
	CodeRateLimited = "SLIP-E0507" // more requests a second than the endpoint takes
	CodeOverloaded  = "SLIP-E0508" // more requests at once than it can answer in time
	CodeNotPassed   = "SLIP-E0509" // the endpoint does not pass such a path on to its server

	CodeHomeLocked  = "SLIP-E0601" // another server runs on this directory
	CodeListen      = "SLIP-E0602" // the address cannot be listened on
	CodeNeedTLS     = "SLIP-E0603"
	CodeNoServer    = "SLIP-E0604" // the control plane does not answer
	CodeDiskFull    = "SLIP-E0605"
	CodeNotLoggedIn = "SLIP-E0606"
	CodeNotLeader   = "SLIP-E0607" // another server has the lease
	CodeDatabase    = "SLIP-E0608" // PostgreSQL cannot be used
	CodeDowngrade   = "SLIP-E0609" // an older build would lose something

	CodeAuditFull     = "SLIP-E0701" // the audit log takes no events, so nothing is changed
	CodeAuditDamaged  = "SLIP-E0702" // it is not what was signed
	CodeAuditKey      = "SLIP-E0703"
	CodeAuditPending  = "SLIP-E0704" // an event is not in the log yet
	CodeAuditAnchor   = "SLIP-E0705" // an anchor cannot be used, or differs
	CodeAuditFailed   = "SLIP-E0706" // a verification found something wrong
	CodeAuditBundle   = "SLIP-E0707" // a file is no bundle
	CodeKeyService    = "SLIP-E0801" // the key service cannot be used
	CodeSealed        = "SLIP-E0802" // what is sealed does not open
	CodeShredded      = "SLIP-E0803" // its key is destroyed
	CodeKeyFile       = "SLIP-E0804" // the file with the root key cannot be used
	CodeKeyInUse      = "SLIP-E0805" // something live needs the key
	CodeSecret        = "SLIP-E0806" // a secret that a model needs cannot be given
	CodeKeyLost       = "SLIP-E0807" // the key service has not got a key that is in use here
	CodePassword      = "SLIP-E0901" // a password is not good enough
	CodeSignIn        = "SLIP-E0902" // name, password or code is wrong
	CodeLocked        = "SLIP-E0903" // too many wrong ones
	CodeInvitation    = "SLIP-E0904" // an invitation is used, expired or unknown
	CodeSession       = "SLIP-E0905" // a session has ended
	CodeForged        = "SLIP-E0906" // a request of a browser that did not come from our pages
	CodeDevice        = "SLIP-E0907" // a code of platform login is unknown, denied or expired
	CodeProvider      = "SLIP-E0908" // the identity provider does not answer
	CodeForeign       = "SLIP-E0909" // the identity provider's answer is not accepted
	CodeNoMFA         = "SLIP-E0910" // signed in elsewhere without a second factor
	CodeNameTaken     = "SLIP-E0911" // another account has the name of who signs in
	CodePending       = "SLIP-E0913" // nobody has confirmed a platform login yet
	CodeSlowDown      = "SLIP-E0914" // asked too often whether somebody has
	CodeLocalOnly     = "SLIP-E0912" // the owner's token was used from elsewhere
	CodeBackupTarget  = "SLIP-E1101" // the place of backups cannot be used
	CodeBackupKey     = "SLIP-E1102" // the key of backups is missing, or another one
	CodeBackupDamaged = "SLIP-E1103" // a backup is not as it was written
	CodeRestoring     = "SLIP-E1104" // a home, or a database, in which a restore has not finished
	CodeNotEmpty      = "SLIP-E1105" // a restore would overwrite something
	CodeCertificate   = "SLIP-E1106" // a certificate, or its key, cannot be used

	CodeNotServed  = "SLIP-E1201" // MLflow's API has it, this platform has not
	CodeExists     = "SLIP-E1202" // there is one of that name already
	CodeNoEndpoint = "SLIP-E1203" // no such path in MLflow's API here

	CodeFilter    = "SLIP-E1301" // a filter, an order or a page token cannot be read
	CodeRunState  = "SLIP-E1302" // the lifecycle of a run or an experiment forbids it
	CodeImmutable = "SLIP-E1303" // a parameter has another value already

	CodeServing  = "SLIP-E1401" // an endpoint needs the version, or the name of its model
	CodeNoFiles  = "SLIP-E1402" // the files of a version lie elsewhere
	CodeNoSource = "SLIP-E1403" // nothing is where a version shall be made of

	CodeArtifactPath  = "SLIP-E1501" // no artifact can lie there
	CodeUpload        = "SLIP-E1502" // an upload in parts is unknown, expired or incomplete
	CodeSignedURL     = "SLIP-E1503" // a signed address is not good any more
	CodeArtifactPlace = "SLIP-E1504" // the bucket of artifacts cannot be used

	CodeWebhook     = "SLIP-E1601" // a webhook cannot be as it was asked for
	CodeWebhookMany = "SLIP-E1602" // a team has too many

	CodeProtected = "SLIP-E1701" // a protected alias is not moved like that
	CodeApproval  = "SLIP-E1702" // a request for approval cannot be made, or decided on, like that
	CodeUnsigned  = "SLIP-E1703" // a version has no signature where one is needed
	CodeSignature = "SLIP-E1704" // a signature does not hold
	CodeHeld      = "SLIP-E1705" // something needs what would be deleted
	CodeNoTrace   = "SLIP-E1706" // no gateway remembers a request

	CodeSource       = "SLIP-E1801" // a server to import from does not answer as it should
	CodeSourceDenied = "SLIP-E1802" // it refuses the credentials
	CodeImport       = "SLIP-E1803" // some of it could not be imported
	CodeImportTaken  = "SLIP-E1804" // something of that id is here, and is not from there
)
