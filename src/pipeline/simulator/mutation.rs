//! Simplifications of the protocol, each of which the simulator must find out.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mutation {
    /// The protocol as it is.
    #[default]
    None,
    /// A snapshot is written before the closed panes that it no longer holds.
    SnapshotFirst,
    /// The offset is committed apart from the state, and it is where counting goes on.
    OffsetApart,
    /// Partials are differences to what was published before.
    Deltas,
    /// The last snapshot and the last partial count, not those that are furthest on.
    LastWins,
    /// All writers have one key.
    OneKey,
    /// One key, and the last counts: a plain changelog without fencing.
    Changelog,
    /// Who has written a pane removes what others wrote of it.
    Tombstones,
    /// Lateness is decided by a watermark that partitions share.
    SharedWatermark,
    /// An attempt is not read back before it is made.
    NoFence,
    /// Decisions count whoever makes them.
    NoOwners,
    /// The incident log is not folded before deciding.
    NotFolded,
    /// Ids are drawn, not computed.
    DrawnIds,
    /// What is decided is sent before it is durable.
    SentFirst,
    /// The clock closes panes without a seal.
    NoSeal,
    /// A seal counts before it was read back.
    SealNotReadBack,
    /// A process that is given a partition again writes open panes over what it wrote of it before.
    OpenGoesBack,
    /// How far a partition has come is told while closed panes of it are not written.
    ProgressFirst,
    /// Deciding is stored though the decision was not counted.
    DecidedAnyway,
    /// Only the partials are watched for another owner.
    OneLogWatched,
    /// A baseline is noted before there is a state of deciding by it.
    BaselineFirst,
    /// A frame that a crash has cut stays in its file.
    TornTailStays,
    /// The clock closes what it has not come to.
    SealedAhead,
    /// A seal does not say which panes it has passed over.
    PassedUnsaid,
    /// That records were taken back is not told to who has heard of them.
    NotTakenBack,
    /// What another replica has asked is asked again at once.
    NotAwaited,
    /// A request is made however long ago its attempt was written down.
    SentLate,
}

impl Mutation {
    pub(super) const ALL: [Mutation; 26] = [
        Mutation::SnapshotFirst,
        Mutation::OffsetApart,
        Mutation::Deltas,
        Mutation::LastWins,
        Mutation::OneKey,
        Mutation::Changelog,
        Mutation::Tombstones,
        Mutation::SharedWatermark,
        Mutation::NoFence,
        Mutation::NoOwners,
        Mutation::NotFolded,
        Mutation::DrawnIds,
        Mutation::SentFirst,
        Mutation::NoSeal,
        Mutation::SealNotReadBack,
        Mutation::OpenGoesBack,
        Mutation::ProgressFirst,
        Mutation::DecidedAnyway,
        Mutation::OneLogWatched,
        Mutation::BaselineFirst,
        Mutation::TornTailStays,
        Mutation::SealedAhead,
        Mutation::PassedUnsaid,
        Mutation::NotTakenBack,
        Mutation::NotAwaited,
        Mutation::SentLate,
    ];
}
